"""Secrets: the three places they come from, what is refused, and that they do not show themselves."""

from pathlib import Path

import pytest

from billing.config.secrets import SECRET_NAMES, Secret, read_secrets


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text("from-file\n")
    return path


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_secret_comes_from_the_environment(name: str) -> None:
    found, faults = read_secrets({name: " from-environment\n"})
    assert (found[name].reveal(), found[name].origin) == ("from-environment", f"environment {name}")
    assert (len(found), faults) == (1, [])


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_secret_comes_from_the_file_that_is_named(name: str, secret_file: Path) -> None:
    found, faults = read_secrets({f"{name}_FILE": str(secret_file)})
    assert (found[name].reveal(), found[name].origin) == ("from-file", f"file of {name}_FILE")
    assert faults == []


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_secret_comes_from_a_systemd_credential(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("from-systemd")
    found, faults = read_secrets({"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert (found[name].reveal(), found[name].origin) == ("from-systemd", "systemd credential")
    assert (len(found), faults) == (1, [])


def test_the_environment_wins_over_the_file_and_that_over_the_credential(
    tmp_path: Path, secret_file: Path
) -> None:
    name = SECRET_NAMES[0]
    (tmp_path / name).write_text("from-systemd")
    everywhere = {name: "direct", f"{name}_FILE": str(secret_file), "CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert read_secrets(everywhere)[0][name].reveal() == "direct"
    assert read_secrets(everywhere | {name: ""})[0][name].reveal() == "from-file"


def test_no_secret_is_no_fault(tmp_path: Path) -> None:
    assert read_secrets({"CREDENTIALS_DIRECTORY": str(tmp_path), "MILESTON_API_KEY": ""}) == ({}, [])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"  \n\n", "it is empty"),
        (b"hunter2\nsecond", "it contains control characters or several lines"),
        (b"hun\x00ter2", "it contains control characters or several lines"),
        (b"hunter2-\xff\xfe", "codec can't decode"),
        (b"hunter2" * 2000, "it is longer than 8192 bytes"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused_without_its_content(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    found, (fault,) = read_secrets({"MILESTON_API_KEY_FILE": str(path)})
    assert found == {}
    assert fault.startswith("MILESTON_API_KEY: ")
    assert reason in fault
    assert fault.endswith("check MILESTON_API_KEY_FILE")
    assert "hunter2" not in fault


@pytest.mark.parametrize(
    ("value", "reason"),
    [("hunter2\nsecond", "it contains control characters or several lines"), ("  ", "it is empty")],
)
def test_a_value_that_is_no_secret_is_refused_without_its_content(value: str, reason: str) -> None:
    found, faults = read_secrets({"MILESTON_API_KEY": value})
    assert found == {}
    assert faults == [
        f"MILESTON_API_KEY: the secret can't be used: {reason}; check the environment's MILESTON_API_KEY"
    ]


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    _, (fault,) = read_secrets({"MILESTON_API_KEY_FILE": str(tmp_path / "none")})
    assert "No such file or directory" in fault
    _, (fault,) = read_secrets({"MILESTON_API_KEY_FILE": str(tmp_path)})
    assert "Is a directory" in fault


def test_every_bad_secret_is_named(tmp_path: Path) -> None:
    environ = {f"{name}_FILE": str(tmp_path / "none") for name in SECRET_NAMES}
    assert len(read_secrets(environ)[1]) == 3


def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret("hunter2", "environment X")
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", str([secret]), str({"key": secret})]
    assert not [text for text in shown if "hunter2" in text]
    assert "%s %r" % (secret, secret) == "Secret(****) Secret(****)"  # noqa: UP031
    assert secret.reveal() == "hunter2"


def test_equal_secrets_are_equal_whatever_their_origin() -> None:
    assert Secret("a", "here") == Secret("a", "there")
    assert len({Secret("a", "here"), Secret("a", "there"), Secret("b", "here")}) == 2
    assert Secret("a", "here") != "a"
