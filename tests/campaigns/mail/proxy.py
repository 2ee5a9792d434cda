"""A proxy in front of a mail server that cuts connections at the phase it was told to, once a message.

It follows the conversation in step: a line from the client, the server's whole reply. Of a message it
holds the end back until it is decided whether the server gets the dot.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter
from typing import Self

from tests.campaigns.mail.fates import Fate, fate_of

_END = b"\r\n.\r\n"
_EVERY = 400
"""Each so-manieth MAIL is cut: there no recipient is known yet."""
_AT_GREETING, _AT_EHLO = {6, 31}, {12, 50}
"""The numbers of connections that are cut before any message: each ends a cycle."""


class _Over(ConnectionError):
    """This conversation ends here."""


class CuttingProxy:
    """Serves on a loopback port, in a thread of its own, while it is entered."""

    def __init__(self, server_port: int, seed: int) -> None:
        self._server_port = server_port
        self._seed = seed
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._listens = threading.Event()
        self._struck: set[str] = set()
        self.calm = False
        """No more cuts."""
        self.port = 0
        self.cuts: Counter[str] = Counter()
        self.passed = 0
        """Messages whose acceptance the client was told."""
        self.connections = 0
        self.mails = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._listens.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cuts_now(self, fate: Fate, recipient: str) -> bool:
        """Whether this recipient's message is to be cut like this, and was not yet."""
        if self.calm or recipient in self._struck or fate_of(recipient, self._seed) is not fate:
            return False
        self._struck.add(recipient)
        self.cuts[fate.value] += 1
        return True

    def cuts_at(self, phase: str, strikes: bool) -> bool:
        self.cuts[phase] += strikes and not self.calm
        return strikes and not self.calm

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._talk, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._listens.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        upstream = None
        try:
            upstream = await asyncio.open_connection("127.0.0.1", self._server_port)
            await _Talk(self, (reader, writer), upstream, self.connections).hold()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()
            if upstream is not None:
                upstream[1].transport.abort()


Side = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Talk:
    """One conversation between a client and the server."""

    def __init__(self, proxy: CuttingProxy, client: Side, server: Side, number: int) -> None:
        self._proxy = proxy
        self._from_client, self._to_client = client
        self._from_server, self._to_server = server
        self._number = number
        self._recipient = ""

    async def hold(self) -> None:
        proxy = self._proxy
        greeting = await self._reply()
        if proxy.cuts_at("cut at the greeting", self._number in _AT_GREETING):
            self._cut()
        self._to_client.write(greeting)
        while line := await self._from_client.readline():
            verb = line[:4].upper()
            self._maybe_cut(verb, line)
            self._to_server.write(line)
            reply = await self._reply()
            self._to_client.write(reply)
            if verb == b"DATA" and reply.startswith(b"354"):
                await self._body()
            if verb == b"QUIT":
                await self._to_client.drain()
                self._to_client.close()
                return

    def _maybe_cut(self, verb: bytes, line: bytes) -> None:
        proxy = self._proxy
        if verb == b"EHLO":
            strikes = proxy.cuts_at("cut at EHLO", self._number in _AT_EHLO)
        elif verb == b"MAIL":
            proxy.mails += 1
            strikes = proxy.cuts_at("cut at MAIL", proxy.mails % _EVERY == 0)
        elif verb == b"RCPT":
            self._recipient = line.split(b"<")[1].split(b">")[0].decode()
            strikes = proxy.cuts_now(Fate.CUT_AT_RCPT, self._recipient)
        else:
            strikes = verb == b"DATA" and proxy.cuts_now(Fate.CUT_AT_DATA, self._recipient)
        if strikes:
            self._cut()

    async def _body(self) -> None:
        """The message and the reply to its dot."""
        proxy, recipient = self._proxy, self._recipient
        held = b""
        while not held.endswith(_END):
            piece = await self._from_client.read(16_384)
            if not piece:
                raise _Over
            held += piece
            self._to_server.write(held[: -len(_END)])
            held = held[-len(_END) :]
            await self._to_server.drain()
            if proxy.cuts_now(Fate.CUT_IN_BODY, recipient):
                self._cut()
        if proxy.cuts_now(Fate.CUT_BEFORE_DOT, recipient):
            self._cut()
        self._to_server.write(held)
        reply = await self._reply()
        if proxy.cuts_now(Fate.CUT_AFTER_DOT, recipient):
            self._cut()
        self._to_client.write(reply)
        proxy.passed += reply.startswith(b"2")
        if proxy.cuts_now(Fate.CUT_AFTER_REPLY, recipient):
            await self._to_client.drain()
            self._to_client.close()
            raise _Over

    async def _reply(self) -> bytes:
        """All lines of the server's reply."""
        lines = b""
        while line := await self._from_server.readline():
            lines += line
            if line[3:4] != b"-":
                return lines
        raise _Over

    def _cut(self) -> None:
        """End both connections; the client sees a FIN and an RST by turns."""
        if sum(self._proxy.cuts.values()) % 2:
            linger = struct.pack("ii", 1, 0)
            self._to_client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        raise _Over
