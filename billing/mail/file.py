"""Notices as .eml files in a directory, one file a dedupe key."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.parse import quote

from billing.core.notices import Delivery, DeliveryKind, RenderedMail
from billing.errors import MailError

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_@%+-][A-Za-z0-9._@%+-]*")
_SUFFIX = ".eml"
_LONGEST_NAME = 255  # bytes; the limit of a name on every common file system


def file_name(dedupe_key: str) -> str:
    """The name of a notice's file: the key itself where that is safe, otherwise one derived from it.

    Different keys have different names. No name holds a separator, begins with a dot or is longer than
    255 bytes.
    """
    if _PLAIN_KEY.fullmatch(dedupe_key) and len(dedupe_key) + len(_SUFFIX) <= _LONGEST_NAME:
        return dedupe_key + _SUFFIX
    # Quoting alone would give "a/b" the name of the key "a%2Fb"; no plain key holds a "~".
    encoded = dedupe_key.encode("utf-8", "surrogatepass")
    ending = f"~{hashlib.sha256(encoded).hexdigest()[:32]}{_SUFFIX}"
    start = quote(encoded, safe="@+").replace("~", "%7E")
    if start.startswith("."):
        start = "%2E" + start[1:]
    return (start[: _LONGEST_NAME - len(ending)] or "notice") + ending


class FileTransport:
    """Writes each notice into `directory`, which is made if it is missing.

    Delivering one again overwrites its file. Raises `MailError` if the directory can't be written to.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._in_channel, self._make_directory)
        return self

    async def __aexit__(self, *error: object) -> None:
        return None

    async def send(self, mail: RenderedMail) -> Delivery:
        # In a thread: a disk that hangs must not hang the event loop, where leases are renewed.
        await asyncio.to_thread(self._in_channel, lambda: self._write(mail))
        return Delivery(DeliveryKind.SENT)

    def _make_directory(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _write(self, mail: RenderedMail) -> None:
        """Put the whole file in place at once, readable by its owner alone.

        A reader sees the old file or the new one, never half of one. It is not synced to the disk:
        these files are for reading on this machine, not a subscriber's mailbox, and after a power
        loss a notice can be written again; a sync would cost more than all the rest of a delivery.
        """
        handle, temporary = self._temporary_file()
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(mail.raw)
                file.flush()
            os.replace(temporary, self._directory / file_name(mail.dedupe_key))
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise

    def _temporary_file(self) -> tuple[int, str]:
        """An open file with mode 0600 in the directory itself, for a rename can't cross file systems."""
        try:
            return tempfile.mkstemp(prefix=".", suffix=".tmp", dir=self._directory)
        except FileNotFoundError:
            self._make_directory()  # somebody emptied var/ while we were running
            return tempfile.mkstemp(prefix=".", suffix=".tmp", dir=self._directory)

    def _in_channel(self, act: Callable[[], None]) -> None:
        """Do it; what the file system refuses is the channel's fault, not the notice's."""
        try:
            act()
        except OSError as error:
            raise MailError(
                f"the outbox {self._directory} can't be written to: {error.strerror or error}; "
                "free some space or correct its permissions, or set mail.outbox_dir to another directory"
            ) from error
