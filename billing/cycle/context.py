"""What the cycle asks of the payments API and of the mail: protocols, not implementations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

from billing.config import Settings
from billing.core.brakes import BrakeLimits, Brakes
from billing.core.notices import Delivery, NoticeFacts, RenderedMail
from billing.core.outcomes import CreateOutcome, PaymentRequest, RemotePayment
from billing.cycle.report import Report
from billing.store.connection import Database


class Gateway(Protocol):
    """The payments API. `create` never raises; the others raise GatewayError."""

    async def create(self, request: PaymentRequest, send_by: datetime) -> CreateOutcome: ...

    async def list(self, limit: int) -> list[RemotePayment]: ...

    async def get(self, remote_id: str) -> RemotePayment | None: ...

    async def delete(self, remote_id: str) -> bool: ...

    def checkout_url(self, remote_id: str) -> str: ...


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
    began: datetime = field(init=False)
    brakes: Brakes = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.clock()
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
    def actor(self) -> str:
        return f"run:{self.run_id}"
