"""The process of the aiosmtpd server: `python -m tests.campaigns.mail.accepting PORT FILE SEED`.

What it takes it writes down before it says so, a line of JSON each: so its records are true whenever it
is killed. It ends with its parent.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope

from tests.campaigns.mail.fates import Judge


class Handler:
    def __init__(self, path: Path, seed: int) -> None:
        lines = path.read_text().splitlines() if path.exists() else []
        put_off = {line["put_off"] for line in map(json.loads, lines) if "put_off" in line}
        self._judge = Judge(seed, put_off)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def handle_RCPT(
        self, _server: SMTP, _session: Any, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        answer = self._judged(self._judge.on_recipient(address), address)
        if not answer:
            envelope.rcpt_tos.append(address)
        return answer or "250 2.1.5 Ok"

    async def handle_DATA(self, _server: SMTP, _session: Any, envelope: Envelope) -> str:
        (address,) = envelope.rcpt_tos
        if answer := self._judged(self._judge.on_message(address), address):
            return answer
        raw = envelope.original_content or b""
        message_id = BytesHeaderParser().parsebytes(raw)["Message-ID"]
        self._note({"id": message_id, "to": address, "sha256": hashlib.sha256(raw).hexdigest()})
        return "250 2.0.0 Taken"

    def _judged(self, answer: str, address: str) -> str:
        if answer.startswith("4"):
            self._note({"put_off": address})
        return answer

    def _note(self, line: dict[str, str]) -> None:
        os.write(self._file, json.dumps(line).encode() + b"\n")


async def main(port: int, path: Path, seed: int) -> None:
    handler, loop = Handler(path, seed), asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(handler, hostname="mail.test", loop=loop), "127.0.0.1", port, backlog=128
    )
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
