"""Secrets come from the environment, from a file that it names, or from a systemd credential."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

SECRET_NAMES = ("MILESTON_API_KEY", "MILESTON_BUSINESS_ID", "BILLING_SMTP_PASSWORD")
_LARGEST_SECRET = 8192


class Secret:
    """A value that is shown only by `reveal()`, never by printing it."""

    __slots__ = ("_value", "origin")

    def __init__(self, value: str, origin: str) -> None:
        self._value = value
        self.origin = origin

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(****)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def read_secrets(environ: Mapping[str, str]) -> tuple[dict[str, Secret], list[str]]:
    """All secrets that are set, by name, and one message for each that can't be read.

    Looked for in this order: `NAME`, the file that `NAME_FILE` names, and the file `NAME` in
    systemd's `$CREDENTIALS_DIRECTORY`.
    """
    found: dict[str, Secret] = {}
    faults: list[str] = []
    for name in SECRET_NAMES:
        try:
            secret = _read(name, environ)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            place = f"the environment's {name}" if environ.get(name) else f"{name}_FILE"
            faults.append(f"{name}: the secret can't be used: {reason}; check {place}")
            continue
        if secret is not None:
            found[name] = secret
    return found, faults


def _read(name: str, environ: Mapping[str, str]) -> Secret | None:
    if environ.get(name):
        return Secret(_clean(environ[name]), f"environment {name}")
    if environ.get(f"{name}_FILE"):
        return Secret(_from_file(Path(environ[f"{name}_FILE"])), f"file of {name}_FILE")
    if environ.get("CREDENTIALS_DIRECTORY"):
        credential = Path(environ["CREDENTIALS_DIRECTORY"]) / name
        if credential.exists():
            return Secret(_from_file(credential), "systemd credential")
    return None


def _from_file(path: Path) -> str:
    with path.open("rb") as file:
        value = file.read(_LARGEST_SECRET + 1)
    if len(value) > _LARGEST_SECRET:
        raise ValueError(f"it is longer than {_LARGEST_SECRET} bytes")
    return _clean(value.decode())


def _clean(value: str) -> str:
    """A secret without the line end that editors and `echo` add; control characters are rejected."""
    value = value.strip()
    if not value:
        raise ValueError("it is empty")
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("it contains control characters or several lines")
    return value
