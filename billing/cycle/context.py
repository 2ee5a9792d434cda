"""What the cycle asks of the payments API and of the mail: protocols, not implementations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from billing.config import Settings
from billing.core.brakes import BrakeLimits, Brakes
from billing.core.notices import Delivery, NoticeFacts, RenderedMail
from billing.core.outcomes import CreateOutcome, PaymentRequest, RecordChange, RemotePayment
from billing.core.renewal import CameBack
from billing.core.throttle import Throttle
from billing.cycle.observation import Observation
from billing.cycle.pace import Pace, PacedGateway
from billing.cycle.report import Report
from billing.store.connection import Database


class Gateway(Protocol):
    """The payments API. `create` never raises; the others raise GatewayError."""

    async def create(self, request: PaymentRequest, send_by: datetime) -> CreateOutcome: ...

    async def list(self, limit: int) -> list[RemotePayment]: ...

    async def get(self, remote_id: str) -> RemotePayment | None: ...

    async def update(self, remote_id: str, change: RecordChange) -> RemotePayment | None: ...

    async def delete(self, remote_id: str) -> bool: ...

    def checkout_url(self, remote_id: str) -> str: ...

    @property
    def clock_skew_seconds(self) -> float | None:
        """How far our clock is ahead of the API's (behind: negative); None if it has told no time."""
        ...


class Transport(Protocol):
    """Hands over rendered mail. `send` raises MailError if the channel as a whole is down."""

    async def send(self, mail: RenderedMail) -> Delivery: ...


class Renderer(Protocol):
    """Makes the message of a letter. Raises TemplateError."""

    def render(self, letter: NoticeFacts, now: datetime) -> RenderedMail: ...


def nothing(*_args: object) -> None:
    """A hook that nobody watches."""


def never() -> bool:
    return False


@dataclass
class Context:
    """Everything one run works with; made once, by the app.

    `as_of` is the business date that the run bills for; `clock` tells real time, aware UTC, for
    leases, back-off and quiet windows. `exclusive` says that no other cycle can be running on this
    database. `stopping` turns true when the run was asked to end soon.
    """

    db: Database
    gateway: Gateway
    transport: Transport
    renderer: Renderer
    settings: Settings
    run_id: str
    as_of: date
    clock: Callable[[], datetime]
    report: Report
    exclusive: bool = True
    stopping: Callable[[], bool] = never
    progress: Callable[[str, int, int], None] = nothing
    """Called with (step, done, total)."""
    checkpoint: Callable[[str], None] = nothing
    """Called at every named crash point; the crash campaign kills the process there."""
    observation: Observation | None = None
    """What the list showed in this cycle; None where no step needs it, or where it could not be read."""
    unreadable: bool = False
    """Whether the list was asked for in vain: the API is not to be bothered about what is merely open."""
    renewed: dict[int, CameBack] = field(default_factory=dict)
    """Payments about to be sent, and the record that came back and is to stand for each."""
    withheld: set[int] = field(default_factory=set)
    """Payments that are not sent in this run: the record of the period before could not be dealt with."""
    released: int = 0
    """Payments that may be sent since submit has passed; `dun` sees to them."""
    began: datetime = field(init=False)
    brakes: Brakes = field(init=False)
    pace: Pace = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.clock()
        most = self.settings.mileston.requests_per_second or math.inf
        self.pace = Pace(Throttle(self.settings.cycle.concurrency, most), self.stopping)
        self.gateway = PacedGateway(self.gateway, self.pace)
        cycle = self.settings.cycle
        self.brakes = Brakes(
            BrakeLimits(
                cycle.max_payments_per_run,
                cycle.max_amount_per_run,
                cycle.max_unknown_share,
                cycle.max_consecutive_failures,
            )
        )

    @property
    def payable_from(self) -> date:
        """The first day on which what is created now can be paid.

        In live never before the real day, whatever day a run bills for: dunning counts from it.
        """
        if self.settings.mileston.environment != "live":
            return self.as_of
        return max(self.as_of, self.today)

    @property
    def today(self) -> date:
        """The real day in the business's zone, whatever day the run bills for."""
        return self.clock().astimezone(ZoneInfo(self.settings.business.timezone)).date()

    @property
    def actor(self) -> str:
        return f"run:{self.run_id}"
