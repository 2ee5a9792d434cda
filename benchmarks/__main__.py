"""`make bench`: measures, prints tables, and says which targets are met."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import create, growth, history, importing, mail, start, workers
from benchmarks.bench import Bench
from benchmarks.databases import Stock
from benchmarks.machine import describe
from benchmarks.measure import ROOT
from benchmarks.servers import ApiServer
from benchmarks.tables import Page

_SECTIONS: dict[str, Callable[[Bench], None]] = {
    "create": create.measure,
    "growth": growth.measure,
    "history": history.measure,
    "workers": workers.measure,
    "mail": mail.measure,
    "import": importing.measure,
    "start": start.measure,
}
_DOCUMENT = ROOT / "docs" / "benchmarks.md"
_MARK = "<!-- Below this line stands what `make bench` printed. -->\n"


def main() -> None:
    arguments = _arguments()
    page = Page()
    # Not below the system's own place for passing files where that is in memory: commits must cost
    # what they cost.
    with (
        tempfile.TemporaryDirectory(prefix="billing-bench-", dir=arguments.folder) as name,
        ApiServer() as api,
    ):
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL runs as another user if this one is root
        stock = Stock(folder)
        try:
            bench = Bench(page, api, stock, arguments.rounds, arguments.scale, arguments.in_flight)
            page.write(describe(folder, stock.postgresql.version))
            page.write(f"\nRounds: {arguments.rounds}; scale: {arguments.scale:g}.")
            for section in arguments.sections:
                _SECTIONS[section](bench)
        finally:
            stock.close()
    page.table("Targets", ("", "target", "measured", ""), [target.cells() for target in bench.targets])
    if arguments.save:
        head, _mark, _ = _DOCUMENT.read_text(encoding="utf-8").partition(_MARK)
        _DOCUMENT.write_text(f"{head}{_MARK}\n{page.text}", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"{', '.join(_SECTIONS)}; without any, all of them"
    )
    parser.add_argument("--quick", action="store_true", help="a rough look in about two minutes")
    parser.add_argument("--rounds", type=int, help="how often each contestant runs (default 5)")
    parser.add_argument("--scale", type=float, help="how much is done in each run (default 1)")
    parser.add_argument(
        "--in-flight", type=int, default=128, help="creates on the wire at once (default 128)"
    )
    parser.add_argument("--folder", type=Path, help="where databases are made; must be on a real disk")
    parser.add_argument("--save", action="store_true", help="put what was printed into docs/benchmarks.md")
    found = parser.parse_args()
    for section in found.sections:
        if section not in _SECTIONS:
            parser.error(f"there is no section {section!r}; there are {', '.join(_SECTIONS)}")
    found.sections = found.sections or list(_SECTIONS)
    found.rounds = found.rounds or (1 if found.quick else 5)
    found.scale = found.scale or (0.1 if found.quick else 1.0)
    return found


if __name__ == "__main__":
    main()
