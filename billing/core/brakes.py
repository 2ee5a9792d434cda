"""Safety limits: when does a run stop charging because something looks wrong?"""

from __future__ import annotations

from dataclasses import dataclass, field

from billing.core import reasons
from billing.core.money import format_amount
from billing.core.outcomes import OutcomeKind
from billing.core.throttle import SLOW_DOWN

_FORBIDDEN = 403
_MOST_SLOWED = 25
_Z_SQUARED = 9.0  # three standard deviations


def share_is_over(bad: int, total: int, limit: float) -> bool:
    """Whether a share is over `limit` beyond chance: the lower end of its Wilson interval at 3 sigma.

    Ten unknowns out of ten are over 0.5; four of ten are not. Source: E. B. Wilson, 1927.
    """
    if bad == 0 or total == 0 or limit >= 1:
        return False
    p = bad / total
    z2 = _Z_SQUARED
    spread = (z2 * (p * (1 - p) / total + z2 / (4 * total * total))) ** 0.5
    return bool((p + z2 / (2 * total) - spread) / (1 + z2 / total) > limit)


@dataclass(frozen=True, slots=True)
class BrakeLimits:
    max_payments: int
    max_amount_micros: int
    max_unknown_share: float
    max_consecutive_failures: int


@dataclass(slots=True)
class Brakes:
    """The counters of one run. `admit` before a payment is sent, `note` after its outcome."""

    limits: BrakeLimits
    payments: int = 0
    amount_micros: int = 0
    others_payments: int = 0
    """What runs that overlap this one have sent: they share one allowance."""
    others_micros: int = 0
    finished: int = 0
    unknown: int = 0
    failures_in_a_row: int = 0
    slowed_in_a_row: int = 0
    stopped: str = field(default="")
    """Why nothing more is sent in this run (the payments stay planned); empty: go on."""
    hold_cause: str = field(default="")
    """Why everything else that is due is held; empty: go on."""

    def admit(self, amount_micros: int) -> str:
        """Count a payment in and return '', or the reason why it must be held."""
        if self.hold_cause:
            return self.hold_cause
        if self.others_payments + self.payments + 1 > self.limits.max_payments:
            return reasons.MOST_PAYMENTS.format(limit=self.limits.max_payments)
        if self.others_micros + self.amount_micros + amount_micros > self.limits.max_amount_micros:
            return reasons.MOST_MONEY.format(limit=format_amount(self.limits.max_amount_micros))
        self.payments += 1
        self.amount_micros += amount_micros
        return ""

    def note(self, kind: OutcomeKind, status: int | None = None) -> None:
        """Count one outcome and its HTTP status; may stop the run.

        That the API asks to slow down is no failure. That it does nothing else ends the run, and nothing
        is held.
        """
        if kind is OutcomeKind.UNKNOWN and status in SLOW_DOWN:
            self.slowed_in_a_row += 1
            if self.slowed_in_a_row >= _MOST_SLOWED:
                self.stopped = reasons.SLOWED_DOWN.format(count=self.slowed_in_a_row)
            return
        self.slowed_in_a_row = 0
        self.finished += 1
        self.unknown += kind is OutcomeKind.UNKNOWN
        self.failures_in_a_row = 0 if kind is OutcomeKind.CREATED else self.failures_in_a_row + 1
        if kind is OutcomeKind.UNAUTHORIZED:
            self.stopped = reasons.KEY_REFUSED
        elif status == _FORBIDDEN:
            # It refuses this payment, but rarely this one alone: send nothing more in this run.
            self.stopped = reasons.KEY_FORBIDDEN
        elif kind is OutcomeKind.NOT_SENT and self.failures_in_a_row >= self.limits.max_consecutive_failures:
            self.stopped = reasons.UNREACHABLE
        elif self.failures_in_a_row >= self.limits.max_consecutive_failures:
            self.hold_cause = reasons.FAILED_IN_A_ROW.format(count=self.failures_in_a_row)
        elif share_is_over(self.unknown, self.finished, self.limits.max_unknown_share):
            limit = f"{self.limits.max_unknown_share:g}"
            self.hold_cause = reasons.MANY_UNKNOWN.format(count=self.unknown, all=self.finished, limit=limit)
