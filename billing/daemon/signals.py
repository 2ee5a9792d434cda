"""SIGTERM, SIGINT and SIGHUP, as flags that the loop checks and a pipe that wakes it up."""

from __future__ import annotations

import faulthandler
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Self

GRACE_SECONDS = 24.0
"""After this long what is still in flight is cut off: its outcome is unknown, and looked up later."""
_LAST_SECONDS = 29
"""After this long the process ends, whatever blocks it; where it hung is written to stderr."""
_STOP = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """Handles the signals for the length of a `with`.

    The first SIGTERM or SIGINT asks for an end (`stopping`), the second ends the process at once: what
    was in flight then is found by the next cycle's reconciliation. SIGHUP asks to read the
    configuration again (`take_reload`).

    Handlers only set flags and write a byte: one that touched a lock, as `threading.Event` does, could
    interrupt the loop while it holds that lock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._stop_at: float | None = None
        self._reload = False
        self._read_end, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        for number in _STOP:
            self._before[number] = signal.signal(number, self._stop)
        self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._hang_up)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        faulthandler.cancel_dump_traceback_later()
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        os.close(self._read_end)
        os.close(self._write_end)

    @property
    def stopping(self) -> bool:
        return self._stop_at is not None

    @property
    def grace_is_over(self) -> bool:
        """Whether what is in flight must be cut off now."""
        return self._stop_at is not None and self._clock() > self._stop_at + GRACE_SECONDS

    def take_reload(self) -> bool:
        """Whether a SIGHUP came since the last call."""
        wanted, self._reload = self._reload, False
        return wanted

    def wait(self, seconds: float) -> None:
        """Sleep for this long, or until a signal comes."""
        if self.stopping or self._reload:
            return
        ready, _, _ = select.select([self._read_end], [], [], max(0.0, seconds))
        if ready:
            os.read(self._read_end, 4096)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if self.stopping:
            os._exit(128 + number)
        self._stop_at = self._clock()
        # Written by a C thread, so it also works while the interpreter waits inside a library.
        faulthandler.dump_traceback_later(_LAST_SECONDS, exit=True, file=sys.__stderr__ or sys.stderr)
        self._wake()

    def _hang_up(self, _number: int, _frame: FrameType | None) -> None:
        self._reload = True
        self._wake()

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # the pipe is full of wake-ups already
            os.write(self._write_end, b"!")
