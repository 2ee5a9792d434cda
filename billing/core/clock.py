"""Does the API's clock agree with ours? Quiet times and deadlines are only as good as that."""

from __future__ import annotations

from datetime import datetime, timedelta

# What a server tells is cut to whole seconds, and an answer may take longer one way than the other:
# a smaller difference says nothing, however short the quiet time of a sandbox is.
_COARSE_SECONDS = 10.0
_HALF_OF_A_WHOLE_SECOND = 0.5


def skew_seconds(theirs: datetime, received_at: datetime, round_trip_seconds: float) -> float:
    """How far our clock is ahead of theirs (behind: negative), in seconds.

    `theirs` is the server's time in whole seconds. It is taken to have been told half a round trip
    before `received_at`.
    """
    told_at = received_at - timedelta(seconds=round_trip_seconds / 2)
    return (told_at - theirs).total_seconds() - _HALF_OF_A_WHOLE_SECOND


def clock_problem(skew_seconds: float | None, quiet_seconds: float) -> str:
    """What a run and the doctor say of a difference beyond a third of `quiet_seconds`; empty: nothing.

    None is a difference that is not known, because the server tells no time.
    """
    if skew_seconds is None or abs(skew_seconds) <= max(quiet_seconds / 3, _COARSE_SECONDS):
        return ""
    direction = "ahead of" if skew_seconds > 0 else "behind"
    return (
        f"this machine's clock is {abs(skew_seconds):.0f} s {direction} Mileston's, more than a third of "
        f"reconcile.quiet_seconds ({quiet_seconds:g})"
    )
