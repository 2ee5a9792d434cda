"""The acceptance of the outbox: `python -m tests.campaigns.mail --notices 10000`.

An outbox is emptied by real `billing run-once` processes into aiosmtpd and into a real Postfix, while the
server and the sender are killed, the server puts off and refuses, and a proxy cuts connections at every
phase. It must come out that nobody got a notice twice and that every one is accounted for.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from tests.campaigns.mail.acceptance import Acceptance, Findings, table
from tests.campaigns.mail.servers import Aiosmtpd, MailServer, RealMta
from tests.support.nursery import Nursery
from tests.support.postfix import why_no_mta

_SERVERS: dict[str, Callable[[int], MailServer]] = {"aiosmtpd": Aiosmtpd, "postfix": RealMta}
_SHOWN = 20


def main(argv: list[str]) -> int:
    """Answers 1 if something came out that must not."""
    given = _parser().parse_args(argv)
    columns: dict[str, Findings] = {}
    skipped = ""
    with Nursery() as nursery:
        for name in given.server or _SERVERS:
            if name == "postfix" and (skipped := why_no_mta()):
                continue
            print(f"{name}: {given.notices} notices, seed {given.seed} …", file=sys.stderr)
            server = _SERVERS[name](given.seed)
            try:
                columns[name] = Acceptance(server, nursery, given.notices, given.seed).run()
            finally:
                server.close()
    print("\n".join(table(columns)))
    if skipped:
        print(f"Not measured against a real mail server, which {skipped}.")
    violations = [f"{name}: {what}" for name, found in columns.items() for what in found.violations]
    for violation in violations[:_SHOWN]:
        print(f"VIOLATION  {violation}")
    print(f"{len(violations)} violations" if violations else "Nobody got two; every notice is accounted for.")
    return 1 if violations or not columns else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.campaigns.mail", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--notices", type=int, default=10_000, help="default: %(default)s")
    parser.add_argument("--server", choices=_SERVERS, action="append", help="default: both")
    parser.add_argument("--seed", type=int, default=1, help="of what befalls whom (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
