"""The mail server's side: the least that takes mail, in a process of its own.

It runs until its standard input ends. `VRFY count` answers with the number of messages taken.
"""

from __future__ import annotations

import asyncio
import sys

taken = 0
_REPLIES = {
    b"EHLO": b"250-localhost\r\n250-8BITMIME\r\n250 SIZE 33554432\r\n",
    b"MAIL": b"250 OK\r\n",
    b"RCPT": b"250 OK\r\n",
    b"RSET": b"250 OK\r\n",
    b"DATA": b"354 go on\r\n",
    b"QUIT": b"221 bye\r\n",
}


class Mailbox(asyncio.Protocol):
    """Reads commands and bodies, and keeps nothing but their number."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.data = b""
        self.in_body = False
        transport.write(b"220 localhost ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self.data += data
        while True:
            end = b"\r\n.\r\n" if self.in_body else b"\r\n"
            found, separator, rest = self.data.partition(end)
            if not separator:
                return
            self.data = rest
            if self.in_body:
                self._take()
            else:
                self._obey(found)

    def _take(self) -> None:
        global taken
        taken += 1
        self.in_body = False
        self.transport.write(b"250 taken\r\n")

    def _obey(self, line: bytes) -> None:
        verb = line[:4].upper()
        if verb == b"VRFY":
            self.transport.write(b"252 %d\r\n" % taken)
            return
        self.in_body = verb == b"DATA"
        self.transport.write(_REPLIES.get(verb, b"502 not here\r\n"))
        if verb == b"QUIT":
            self.transport.close()


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Mailbox, "127.0.0.1", 0, backlog=128)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
