"""The program itself: some steps of its own cycle on a prepared database."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

# Modules that a cycle would import when it first needs them: nobody's imports are measured here.
import billing.gateway.mileston
import billing.mail.file
import billing.mail.render
import billing.mail.smtp  # noqa: F401
from benchmarks.measure import Figures, measured, spec
from billing.app.runtime import Hooks, one_cycle, open_store
from billing.config import Config, load_config
from billing.cycle.cycle import STEPS
from billing.cycle.report import Report


def config_for(folder: Path, **settings: str) -> Config:
    """The program's defaults but for these settings: `database__url="sqlite:///…"`."""
    empty = folder / "config.toml"
    empty.touch()
    environ = {f"BILLING_{key.upper()}": value for key, value in settings.items()}
    return load_config(empty, environ)


async def main(
    count: int, steps: list[str], as_of: str, settings: dict[str, str], shared: bool = False
) -> None:
    """`shared`: other processes do the same on this database, so `count` is only expected of all."""
    chosen = [step for step in STEPS if step.__name__ in steps]
    with tempfile.TemporaryDirectory() as folder:
        config = config_for(Path(folder), mail__outbox_dir=folder, **settings)
        with open_store(config) as db, measured(count) as figures:
            hooks = Hooks(checkpoint=_watch(figures))
            day = date.fromisoformat(as_of)
            report = await one_cycle(config, config.settings, db, day, hooks, chosen)
            figures.more["ended_at"] = time.perf_counter()
            if shared:
                figures.count = report.created
        _check(report, steps, figures.count)


def _watch(figures: Figures) -> Callable[[str], None]:
    """Notes when each step ended."""
    last = time.perf_counter()

    def checkpoint(name: str) -> None:
        nonlocal last
        if name.endswith(".done"):
            now = time.perf_counter()
            figures.more[name.removesuffix(".done")] = now - last
            last = now

    return checkpoint


def _check(report: Report, steps: list[str], count: int) -> None:
    """Nothing counts as fast that did not do all of its work."""
    assert report.outcome == "ok", report
    if "submit" in steps:
        assert report.created == count, report
        assert report.notices_queued >= count, report
    if "deliver" in steps:
        assert report.notices_sent == count, report


if __name__ == "__main__":
    asyncio.run(main(**spec()))
