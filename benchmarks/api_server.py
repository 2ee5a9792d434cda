"""The API's side: the least that can answer creates as documented, in a process of its own.

The path says how long an answer takes: `/ms50/recurring-payment/create` answers after 50 ms. Below
`/from/FOLDER/FILE/recurring-payment` it lists and shows the records of a file, one a line, and what was
created there, as paid since. It runs until its standard input ends, so that it never outlives the benchmark.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
import time
from functools import cache
from pathlib import Path
from urllib.parse import unquote

_LENGTH = re.compile(rb"(?i)content-length: *(\d+)")
_numbers = itertools.count(1)
_HEAD = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
creates = 0


class Api(asyncio.Protocol):
    """Answers a create with its own fields and a new id, a list with nothing, `/stats` with counts."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data = self.data + data if self.data else data
        while True:
            head, separator, rest = self.data.partition(b"\r\n\r\n")
            if not separator:
                return
            found = _LENGTH.search(head)
            length = int(found[1]) if found else 0
            if len(rest) < length:
                return
            self.data = rest[length:]
            self._answer(head, rest[:length])

    def _answer(self, head: bytes, body: bytes) -> None:
        global creates
        method, path, _ = head.split(b" ", 2)
        if path.startswith(b"/from/") and method == b"GET":
            self._write(b"200 OK", _from_file(path))
        elif method == b"POST":
            creates += 1
            start = (
                b'{"statusCode":201,"message":"Created","recurringPaymentData":{"recurringPaymentId":"rp_%d",'
            )
            number = next(_numbers)
            if path.startswith(b"/from/"):
                record = b'{"recurringPaymentId":"rp_%d",' % number + body[1:-1]
                record += b',"currentPaymentStatus":"paid"}'
                _records(_file_of(path))[b"rp_%d" % number] = record
            self._write(b"201 Created", start % number + body[1:] + b"}", _seconds(path))
        elif path == b"/stats":
            self._write(b"200 OK", json.dumps({"creates": creates, "cpu": time.process_time()}).encode())
        else:
            self._write(b"200 OK", b'{"statusCode":200,"message":"OK","recurringPaymentData":[]}')

    def _write(self, status: bytes, body: bytes, seconds: float = 0) -> None:
        answer = _HEAD % (status, len(body)) + body
        if seconds:
            asyncio.get_running_loop().call_later(seconds, self.transport.write, answer)
        else:
            self.transport.write(answer)


def _file_of(path: bytes) -> Path:
    return Path(unquote(path.split(b"/")[2].decode()))


@cache
def _records(file: Path) -> dict[bytes, bytes]:
    """The records of a file by their ids."""
    with file.open("rb") as lines:
        return {line.split(b'"', 4)[3]: line.rstrip() for line in lines}


def _from_file(path: bytes) -> bytes:
    records = _records(_file_of(path))
    name = path.partition(b"?")[0].rpartition(b"/")[2]
    if name in records:
        return b'{"statusCode":200,"message":"OK","recurringPaymentData":%s}' % records[name]
    _, limit = path.split(b"limit=")
    shown = itertools.islice(records.values(), int(limit))
    return b'{"statusCode":200,"message":"OK","recurringPaymentData":[%s]}' % b",".join(shown)


def _seconds(path: bytes) -> float:
    return int(path[3 : path.index(b"/", 3)]) / 1000 if path.startswith(b"/ms") else 0


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Api, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
