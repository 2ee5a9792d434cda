"""Notices as files: whole, private, one a key, and never outside their directory."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.notices import DeliveryKind, RenderedMail
from billing.errors import MailError
from billing.mail.file import FileTransport, file_name
from tests.support.smtp_server import a_mail


def with_key(key: str, raw: bytes = b"Subject: x\r\n\r\nhello\r\n") -> RenderedMail:
    return RenderedMail(key, "a@example.com", "b@example.com", "x", "<x@example.com>", raw, "")


def deliver(directory: Path, *mails: RenderedMail) -> None:
    async def main() -> None:
        async with FileTransport(directory) as transport:
            for mail in mails:
                assert (await transport.send(mail)).kind is DeliveryKind.SENT

    asyncio.run(main())


def test_a_notice_is_a_private_file_named_after_its_key(tmp_path: Path) -> None:
    outbox = tmp_path / "var" / "outbox"
    deliver(outbox, a_mail(1))
    (path,) = outbox.iterdir()
    assert path.name == "notice-1.eml"
    assert path.read_bytes() == a_mail(1).raw
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(outbox.stat().st_mode) & 0o077 == 0


def test_delivering_again_overwrites_and_leaves_nothing_else(tmp_path: Path) -> None:
    deliver(tmp_path, with_key("k", b"old"), with_key("k", b"new"))
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("k.eml", b"new")]


def test_many_at_once_under_one_key_leave_one_whole_file(tmp_path: Path) -> None:
    async def main() -> None:
        async with FileTransport(tmp_path) as transport:
            bodies = [bytes([n]) * 50_000 for n in range(32)]
            await asyncio.gather(*(transport.send(with_key("k", body)) for body in bodies))

    asyncio.run(main())
    (path,) = tmp_path.iterdir()
    assert len(set(path.read_bytes())) == 1
    assert path.stat().st_size == 50_000


def test_the_usual_keys_are_their_own_names() -> None:
    for key in ("payment_overdue-s%40x-2026-11-22.3", "a@b+c", "x" * 251):
        assert file_name(key) == f"{key}.eml"


@pytest.mark.parametrize(
    "key",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "..",
        ".",
        "",
        ".hidden",
        "a/b",
        "a\\b",
        "a\0b",
        "\n",
        "x" * 252,
        "ä" * 300,
    ],
)
def test_no_key_leaves_the_directory(key: str, tmp_path: Path) -> None:
    outbox = tmp_path / "outbox"
    deliver(outbox, with_key(key))
    (path,) = tmp_path.rglob("*.eml")
    assert path.parent == outbox
    assert not path.name.startswith(".")


def test_keys_that_could_collide_do_not() -> None:
    long = "x" * 300
    keys = ["a/b", "a%2Fb", "a%252Fb", "", "notice", long, long + "y", long[:-1], "ä", "%C3%A4", ".a", "%2Ea"]
    assert len({file_name(key) for key in keys}) == len(keys)


@given(st.text(max_size=400))
def test_every_name_is_safe(key: str) -> None:
    name = file_name(key)
    assert len(name.encode()) <= 255
    assert not set(name) & set("/\\\0\n")
    assert name.isascii()
    assert not name.startswith(".")
    assert name.endswith(".eml")


def test_a_directory_that_vanishes_is_made_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with FileTransport(tmp_path / "outbox") as transport:
            await transport.send(a_mail(1))
            (tmp_path / "outbox" / "notice-1.eml").unlink()
            (tmp_path / "outbox").rmdir()
            await transport.send(a_mail(2))

    asyncio.run(main())
    assert [path.name for path in (tmp_path / "outbox").iterdir()] == ["notice-2.eml"]


def test_a_full_disk_is_the_channels_fault_and_leaves_no_scraps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(old: object, new: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(MailError, match=r"No space left on device; .*mail\.outbox_dir"):
        deliver(tmp_path, a_mail(1))
    assert list(tmp_path.iterdir()) == []


def test_an_outbox_that_is_a_file_is_the_channels_fault(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("in the way")
    with pytest.raises(MailError, match="outbox"):
        deliver(tmp_path / "outbox")
