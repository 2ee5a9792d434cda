"""The daemon under a clock that skips the time between ticks.

    python -m tests.campaigns.daemon_day.fast_daemon CONFIG CLOCK

A cycle runs at its real pace; when the daemon would sleep, the clock jumps instead. CLOCK is a file with
the seconds that were skipped until now, so that the next process goes on where this one ended.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

from billing.app.logs import set_up
from billing.config import load_config
from billing.daemon.daemon import Daemon, NobodyWatches


class SkippingClock:
    def __init__(self, file: Path) -> None:
        self._file = file
        self.skipped = float(file.read_text())

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time() + self.skipped, UTC)

    def skip(self, seconds: float) -> None:
        self.skipped += seconds
        self._file.write_text(repr(self.skipped))


def run(config: Path, clock: SkippingClock) -> int:
    class Skipping(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return clock.now().astimezone(tz)

    # The clock of the libraries and the program, set from outside: nothing of them hands it in.
    for name in ("apscheduler.schedulers.base", "apscheduler.triggers.interval", "billing.daemon.scheduler"):
        vars(sys.modules[name])["datetime"] = Skipping
    for name in ("billing.app.runtime", "billing.daemon.daemon"):
        vars(sys.modules[name])["utc_now"] = clock.now
    loaded = load_config(config)
    set_up(loaded, long_running=True)
    daemon = Daemon(loaded, NobodyWatches())
    daemon.pulse.interval_seconds = 3600.0
    signals = daemon._signals
    wait = signals.wait

    def skip(seconds: float) -> None:
        wait(0.005)  # a signal that is on its way comes first
        if not signals.stopping:
            clock.skip(seconds)

    signals.wait = skip  # type: ignore[method-assign]
    return daemon.run()


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), SkippingClock(Path(sys.argv[2]))))
