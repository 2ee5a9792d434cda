"""What one run did: the counts that it answers with, and whether they add up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from billing.core.money import format_amount

MAIL = "mail: "
"""How the problem begins that is a mail channel which stopped."""


def mail_problem(problems: Sequence[str]) -> str:
    """Why the mail channel stopped, if it did, out of a report's problems; else ''."""
    return next((words.removeprefix(MAIL) for words in problems if words.startswith(MAIL)), "")


@dataclass
class Report:
    """The counters of one run; each payment that it took up counts once in `due` and once below."""

    run_id: str
    as_of: date
    due: int = 0
    created: int = 0
    adopted: int = 0
    not_sent: int = 0
    rejected: int = 0
    unknown: int = 0
    held: int = 0
    checked: int = 0
    paid: int = 0
    notices_queued: int = 0
    notices_sent: int = 0
    notices_failed: int = 0
    notices_held: int = 0
    amount_created_micros: int = 0
    seconds: float = 0.0
    unknown_before_sending: int = 0
    """How many of `due` and `unknown` were unknown before this run sent anything."""
    needs_a_person: int = 0
    """Payments that wait for a person, now, from whichever run: see `lifecycle.needs`."""
    mail_needs_a_person: int = 0
    """Notices that do not go out by themselves any more."""
    sends: bool = True
    """Whether this run was to send what is due; a mere look-up at Mileston is not."""
    stopped: str = ""
    """Why submitting ended early, or ''."""
    problems: list[str] = field(default_factory=list)
    """What went wrong with a whole step, in words."""

    def conserved(self) -> bool:
        """Whether every payment that was taken up is accounted for."""
        ended = self.created + self.adopted + self.not_sent + self.rejected + self.unknown + self.held
        return self.due == ended

    @property
    def outcome(self) -> str:
        """`ok`, `attention` or `stopped`."""
        if self.stopped:
            return "stopped"
        if self.needs_a_person or self.mail_needs_a_person or self.not_sent or self.problems:
            return "attention"
        return "ok"

    def to_json(self) -> dict[str, Any]:
        """The contract's document."""
        return {
            "run_id": self.run_id,
            "as_of": self.as_of.isoformat(),
            "outcome": self.outcome,
            "payments": {
                "due": self.due,
                "created": self.created,
                "adopted": self.adopted,
                "not_sent": self.not_sent,
                "rejected": self.rejected,
                "unknown": self.unknown,
                "held": self.held,
            },
            "settlement": {"checked": self.checked, "paid": self.paid},
            "notices": {
                "queued": self.notices_queued,
                "sent": self.notices_sent,
                "failed": self.notices_failed,
                "held": self.notices_held,
            },
            "amount_created": format_amount(self.amount_created_micros),
            "seconds": round(self.seconds, 3),
            "needs_a_person": self.needs_a_person,
            "mail_needs_a_person": self.mail_needs_a_person,
            "sends": self.sends,
            "stopped": self.stopped,
            "problems": list(self.problems),
        }
