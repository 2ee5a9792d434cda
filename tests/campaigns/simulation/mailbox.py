"""The model of the mail server and of everybody's mailbox, its transport, and a plain renderer."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from billing.core.notices import Delivery, DeliveryKind, NoticeFacts, RenderedMail
from billing.errors import MailError

from .loop import Process
from .trace import Trace


@dataclass
class ModelMailbox:
    """Who got what. Keys are the notices' dedupe keys."""

    rng: Random
    trace: Trace
    faults: float
    resends_unknown: bool
    calm: bool = False
    accepted: Counter[str] = field(default_factory=Counter)
    message_ids: dict[str, str] = field(default_factory=dict)
    refused_for_now: Counter[str] = field(default_factory=Counter)
    refused: set[str] = field(default_factory=set)
    lost: set[str] = field(default_factory=set)
    """Whose delivery was lost after the last dot."""
    on_accepted: Callable[[RenderedMail], None] = lambda _mail: None
    on_refused: Callable[[RenderedMail], None] = lambda _mail: None
    """Shown each mail that was taken, or refused for good."""
    before_restore: set[str] = field(default_factory=set)
    """What a restored database may have forgotten that it sent."""
    bereft: set[str] = field(default_factory=set)
    """Runs whose database was replaced under them: nothing remembers what they send."""

    def accept(self, mail: RenderedMail, run_id: str) -> None:
        key = mail.dedupe_key
        self.accepted[key] += 1
        self.trace.note("mailbox", "got", key)
        self.trace.count("mail accepted")
        self.on_accepted(mail)
        if self.message_ids.setdefault(key, mail.message_id) != mail.message_id:
            self.trace.violated(f"{key} went out with two Message-IDs")
        if self.accepted[key] > 1:
            if key in self.before_restore:
                self.trace.count("mail twice after a restore (not promised)")
            elif not self.resends_unknown:
                self.trace.violated(f"{key} arrived twice")
        if run_id in self.bereft:
            self.before_restore.add(key)

    def draw(self) -> str:
        if self.calm or self.rng.random() >= self.faults:
            return "ok"
        kind = self.rng.choice(("later", "later", "never", "lost_after_dot", "lost_before_dot", "down"))
        self.trace.count(f"mail fault: {kind}")
        return kind


class ModelTransport:
    """One run's connection to the mail server."""

    def __init__(self, mailbox: ModelMailbox, process: Process) -> None:
        self._mailbox = mailbox
        self._process = process

    async def send(self, mail: RenderedMail) -> Delivery:
        box, key = self._mailbox, mail.dedupe_key
        kind = box.draw()
        await self._process.wait_point("mail.before-dot")
        await asyncio.sleep(box.rng.uniform(0.005, 0.2))
        self._process.point("mail.dot")
        if kind == "down":
            raise MailError("the mail server is down")
        if kind == "lost_after_dot":
            box.lost.add(key)
            if box.rng.random() < 0.5:
                box.accept(mail, self._process.name)
            return Delivery(DeliveryKind.UNKNOWN, "lost after the last dot")
        if kind == "ok":
            box.accept(mail, self._process.name)
        elif kind == "later":
            box.refused_for_now[key] += 1
        elif kind == "never":
            box.refused.add(key)
            box.on_refused(mail)
        await self._process.wait_point("mail.answered")
        return {
            "ok": Delivery(DeliveryKind.SENT, "250 taken"),
            "later": Delivery(DeliveryKind.RETRY, "451 later"),
            "never": Delivery(DeliveryKind.FAILED, "550 no such user"),
            "lost_before_dot": Delivery(DeliveryKind.NOT_SENT, "lost before the last dot"),
        }[kind]


class PlainRenderer:
    """The least that is a message."""

    def render(self, letter: NoticeFacts, now: datetime) -> RenderedMail:
        numbers = " ".join(each.marker for each in letter.open_payments)
        words = f"{letter.kind} {letter.reference} {letter.due_on} {letter.days} {now:%F} {numbers}"
        raw = f"{words}\r\n".encode()
        return RenderedMail(
            dedupe_key=letter.dedupe_key,
            sender="billing@example.com",
            recipient=letter.to_address,
            subject=letter.kind.value,
            message_id=f"<{letter.dedupe_key}@billing.example>",
            raw=raw,
            sha256=hashlib.sha256(raw).hexdigest(),
        )
