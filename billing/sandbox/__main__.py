"""The sandbox as a process: `python -m billing.sandbox --port 8788 --data var/sandbox.jsonl`."""

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
from pathlib import Path

from billing.sandbox.errors import FaultError, SandboxError
from billing.sandbox.faults import NAMES, parse_orders
from billing.sandbox.server import SandboxServer


def main(argv: list[str], prog: str = "python -m billing.sandbox") -> int:
    """Serve until SIGTERM, SIGINT or, if asked to, the end of stdin. Return 0, or 1 if it could not start.

    Prints one JSON line with `url`, `pid` and `data` on stdout when it listens. Raises SystemExit (2)
    for wrong arguments, as argparse does.
    """
    parser = _parser(prog)
    given = parser.parse_args(argv)
    try:
        faults = parse_orders(given.fault)
        if given.latency_ms is not None:
            faults["latency"] = given.latency_ms
        server = SandboxServer(
            data=given.data,
            host=given.host,
            port=given.port,
            faults=faults,
            script=given.script.split(",") if given.script else (),
            seed=given.seed,
            api_keys=given.api_key,
            renews=given.renews,
        )
    except FaultError as error:
        parser.error(str(error))
    return asyncio.run(_serve(server, given))


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Serve a simulation of the Mileston API on loopback, with faults on demand.",
        epilog=f"Faults: {', '.join(NAMES)}. A fault affects creates; list.500=0.3 affects lists.",
    )
    parser.add_argument("--port", type=_port, default=0, help="default: a free one")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default: %(default)s)")
    parser.add_argument(
        "--data", type=Path, metavar="FILE", help="keep the records in FILE (default: in memory)"
    )
    parser.add_argument(
        "--latency-ms", metavar="N", help="delay every answer by N ms; 20-80 for a random delay"
    )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME=RATE",
        help="inject a fault, such as 500=0.1 or late_commit=0.1:5",
    )
    parser.add_argument(
        "--script", metavar="WORD,WORD", help="what happens to successive creates, such as ok,500,503:2"
    )
    parser.add_argument(
        "--renews",
        default="",
        metavar="WORD,WORD",
        help="records renew themselves: paid or all; and late=3 (days), or deaf (to a changed interval)",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed, so that runs repeat (default: 0)")
    parser.add_argument(
        "--api-key",
        action="append",
        default=[],
        metavar="KEY",
        help="accept only this API key (may be repeated)",
    )
    parser.add_argument("--exit-with-parent", action="store_true", help="stop when stdin is closed")
    parser.add_argument("--print-url", action="store_true", help="print the bare URL instead of a JSON line")
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise ValueError
    return port


async def _serve(server: SandboxServer, given: argparse.Namespace) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await server.start()
    except SandboxError as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 1
    try:
        if given.exit_with_parent:
            threading.Thread(target=_await_end_of_stdin, args=(loop, stop), daemon=True).start()
        data = str(given.data) if given.data else None
        line = (
            server.url
            if given.print_url
            else json.dumps({"url": server.url, "pid": os.getpid(), "data": data})
        )
        print(line, flush=True)
        print(
            f"Mileston sandbox on {server.url} (records: {data or 'in memory'}; stop it with Ctrl-C)",
            file=sys.stderr,
        )
        await stop.wait()
    finally:
        await server.close()
    return 0


def _await_end_of_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    # A thread and not the event loop: stdin may be a file or /dev/null, which epoll does not take.
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        pass  # closed from the beginning
    loop.call_soon_threadsafe(stop.set)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
