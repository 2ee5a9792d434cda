"""A scriptable SMTP server: it fails at the phase it is told to, and records what it took.

    async with SmtpServer(Fault("rcpt", Say("451 4.7.1 try later"))) as server:
        ...  # deliver to server.port
    assert [mail.recipient for mail in server.mailbox] == [...]

Phases: greeting, ehlo, starttls, auth, mail, rcpt, data, body (some of the message was read), dot (the
message is complete, no reply yet), replied (the reply to the dot is out), rset, quit.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from billing.config.schema import Mail
from billing.core.notices import RenderedMail

_RECEIVE_BUFFER = 4096  # bytes of the socket: a large message can't vanish into it unread


@dataclass(frozen=True)
class Cut:
    """Close the connection; with `keep`, a complete message is taken all the same."""

    keep: bool = False
    reset: bool = False  # an RST instead of a FIN
    half: bool = False  # only a FIN, and go on reading


@dataclass(frozen=True)
class Say:
    """Answer with this line instead of the usual one; after a 421 or with `then_cut`, close."""

    line: str
    then_cut: bool = False


@dataclass(frozen=True)
class Stall:
    """Say and read nothing more; with `keep`, a complete message is taken all the same."""

    keep: bool = False


@dataclass(frozen=True)
class Drip:
    """Answer as usual, but byte by byte."""

    seconds: float = 0.002


Action = Cut | Say | Stall | Drip


@dataclass
class Fault:
    """What happens at a phase: to the first `times` who come there after `after` others did."""

    phase: str
    action: Action
    times: int | None = 1
    after: int = 0
    recipient: str | None = None  # only for messages to this one
    seen: int = 0

    def strikes(self, phase: str, recipient: str) -> bool:
        if phase != self.phase or self.recipient not in (None, recipient):
            return False
        self.seen += 1
        return self.seen > self.after and (self.times is None or self.seen <= self.after + self.times)


@dataclass(frozen=True)
class Taken:
    """A message that the server has accepted."""

    sender: str
    recipient: str
    raw: bytes


class SmtpServer:
    """Serves on a loopback port while it is entered; `stop` and `start` restart it on the same one."""

    def __init__(self, *faults: Fault, extensions: tuple[str, ...] = ("SIZE 20000000", "8BITMIME")) -> None:
        self.faults = list(faults)
        self.extensions = extensions
        self.mailbox: list[Taken] = []
        self.commands: list[str] = []  # the first line of everything that clients said
        self.connections = 0
        self.most_at_once = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._talks: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def start(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        listener.bind(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        self._server = await asyncio.start_server(self._talk, sock=listener)

    async def stop(self) -> None:
        """Stop at once, in the middle of whatever is being said."""
        assert self._server is not None
        self._server.close()
        talks = [talk for talk in self._talks.values() if talk is not None]
        for writer in list(self._talks):
            writer.transport.abort()
        for talk in talks:
            talk.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await self._server.wait_closed()

    async def close_idle(self, notice: str = "") -> None:
        """Close every open connection as a server does that is tired of waiting."""
        for writer in list(self._talks):
            writer.write(notice.encode())
            writer.close()
        await asyncio.sleep(0.02)

    async def heard(self, line: str) -> None:
        """Wait until a client has said this."""
        while line not in self.commands:  # noqa: ASYNC110 - an event a line would be too much
            await asyncio.sleep(0.001)

    def recipients(self) -> list[str]:
        return [mail.recipient for mail in self.mailbox]

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._talks[writer] = asyncio.current_task()
        self.most_at_once = max(self.most_at_once, len(self._talks))
        with suppress(ConnectionError, asyncio.CancelledError):
            await _Talk(self, reader, writer).hold()
        writer.close()
        del self._talks[writer]


class _Over(ConnectionError):
    """The conversation ends here."""


class _Talk:
    """One conversation."""

    def __init__(
        self, server: SmtpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._sender = self._recipient = ""

    async def hold(self) -> None:
        await self._answer("greeting", "220 scripted ESMTP")
        while line := (await self._reader.readline()).decode().strip():
            self._server.commands.append(line)
            verb = line.split(":")[0].split(" ")[0].lower()
            await getattr(self, f"_{verb}")(line)

    async def _ehlo(self, line: str) -> None:
        lines = ["scripted", *self._server.extensions]
        marks = ["-"] * (len(lines) - 1) + [" "]
        await self._answer(
            "ehlo", "\r\n".join(f"250{mark}{text}" for mark, text in zip(marks, lines, strict=True))
        )

    async def _starttls(self, line: str) -> None:
        await self._answer("starttls", "454 4.7.0 not in this server")

    async def _auth(self, line: str) -> None:
        if "PLAIN" not in line:
            await self._say("334 UGFzc3dvcmQ6")
            await self._reader.readline()
        await self._answer("auth", "235 2.7.0 welcome")

    async def _mail(self, line: str) -> None:
        if self._sender:
            await self._answer("mail", "503 5.5.1 nested MAIL")
        elif await self._answer("mail", "250 2.1.0 ok"):
            self._sender = line.split("<")[1].split(">")[0]

    async def _rcpt(self, line: str) -> None:
        recipient = line.split("<")[1].split(">")[0]
        if await self._answer("rcpt", "250 2.1.5 ok", recipient):
            self._recipient = recipient

    async def _rset(self, line: str) -> None:
        self._sender = self._recipient = ""
        await self._answer("rset", "250 2.0.0 ok")

    async def _quit(self, line: str) -> None:
        await self._answer("quit", "221 2.0.0 bye")
        raise _Over

    async def _data(self, line: str) -> None:
        if not await self._answer("data", "354 go on", self._recipient):
            return
        text = b"\r\n" + await self._reader.read(1000)
        await self._act(self._strike("body", self._recipient))
        while not text.endswith(b"\r\n.\r\n"):
            piece = await self._reader.read(65536)
            if not piece:
                raise _Over
            text += piece
        mail = Taken(self._sender, self._recipient, text.replace(b"\r\n.", b"\r\n")[2:-2])
        self._sender = self._recipient = ""
        await self._decide(mail)
        await self._act(self._strike("replied", mail.recipient))

    async def _decide(self, mail: Taken) -> None:
        """Take a complete message or not, and say so or not."""
        action = self._strike("dot", mail.recipient)
        refused = isinstance(action, Say) and not action.line.startswith("2")
        lost = isinstance(action, Cut | Stall) and not action.keep
        if not refused and not lost:
            self._server.mailbox.append(mail)
        await self._act(action, "250 2.0.0 taken")

    async def _answer(self, phase: str, usual: str, recipient: str = "") -> bool:
        """Say the usual or what the script wants; whether it was the usual."""
        action = self._strike(phase, recipient)
        await self._act(action, usual)
        return action is None or isinstance(action, Drip)

    def _strike(self, phase: str, recipient: str = "") -> Action | None:
        struck = [fault.action for fault in self._server.faults if fault.strikes(phase, recipient)]
        return struck[0] if struck else None

    async def _act(self, action: Action | None, usual: str = "") -> None:
        match action:
            case None:
                await self._say(usual)
            case Say(line, then_cut):
                await self._say(line)
                if then_cut or line.startswith("421"):
                    raise _Over
            case Drip(seconds):
                for character in usual + "\r\n" * bool(usual):
                    self._writer.write(character.encode())
                    await asyncio.sleep(seconds)
            case Stall():
                self._writer.transport.pause_reading()  # type: ignore[attr-defined]
                await asyncio.Event().wait()
            case Cut(half=True):
                self._writer.write_eof()
            case Cut(reset=reset):
                if reset:
                    linger = struct.pack("ii", 1, 0)
                    self._writer.get_extra_info("socket").setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, linger
                    )
                self._writer.transport.abort()
                raise _Over

    async def _say(self, text: str) -> None:
        if text:
            self._writer.write(f"{text}\r\n".encode())
            await self._writer.drain()


def a_mail(number: int = 1, *, recipient: str = "", raw: bytes = b"", size: int = 0) -> RenderedMail:
    """A message to `u<number>@example.com`, filled up to about `size` bytes."""
    recipient = recipient or f"u{number}@example.com"
    key = f"notice-{number}"
    head = f"From: billing@example.com\r\nTo: {recipient}\r\nMessage-ID: <{key}@example.com>"
    filling = (b"x" * 76 + b"\r\n") * (size // 78)
    raw = raw or head.encode() + b"\r\n\r\nHello.\r\n.a line that begins with a dot\r\n" + filling
    sha256 = hashlib.sha256(raw).hexdigest()
    return RenderedMail(
        key, "billing@example.com", recipient, f"Notice {number}", f"<{key}@example.com>", raw, sha256
    )


def mail_settings(port: int, **others: object) -> Mail:
    """Settings for a server on loopback, without TLS unless told otherwise."""
    values: dict[str, object] = {
        "transport": "smtp",
        "smtp_host": "127.0.0.1",
        "smtp_port": port,
        "smtp_tls": "none",
        "smtp_timeout_seconds": 20.0,
        "concurrency": 1,
    }
    return Mail.model_validate(values | others)
