"""What people do: the operator's commands, hands at the API's own web page, and changed settings."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from billing.app import decisions
from billing.app.backup import mark_restored_by_hand, trust_by_hand
from billing.app.csv_rows import SubscriptionRow
from billing.app.importing import import_rows
from billing.config.schema import Cycle, Reminders
from billing.core.periods import Interval, Unit
from billing.errors import GatewayError, UsageError

from .clientele import ACTIVE, CANCELLED, PAUSED, Agreement, new_agreement
from .gateway import ModelGateway
from .loop import Process
from .races import released_meanwhile, told_but_not_so
from .records import BY_HAND
from .store import ProcessDatabase
from .storing import PLANS
from .terms import TermsDesk

if TYPE_CHECKING:
    from .world import World

_OFFSETS: tuple[list[int], ...] = ([7, 3, 1], [2], [], [5, 1])


class Persons:
    """The people around one business. They act through billing.app.decisions, and never crash."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = world.rng_people
        self.process = Process(world.loop, "person")
        self.db = ProcessDatabase(world.store, self.process, world.witness, self.rng, 0.0)
        self.gateway = ModelGateway(world.api, self.process, world.witness, "person", 30.0, world.trace.now)
        self.voided: set[tuple[str, str]] = set()
        self.made = 0
        self.desk = TermsDesk(world)

    def subscribe(self) -> None:
        """Somebody subscribes."""
        self.join(self.subscriber())

    def subscriber(self) -> Agreement:
        """Somebody who might subscribe."""
        self.made += 1
        today = self.world.witness.today()
        agreement = new_agreement(self.rng, self.made, today, self.world.options.tempo)
        self._put_oddly(agreement)
        return agreement

    def join(self, agreement: Agreement) -> None:
        self.world.clientele.add(agreement)
        self._import(agreement)
        self.world.upheavals.settle_in(agreement)

    def _put_oddly(self, agreement: Agreement) -> None:
        """In some wide worlds references begin with zeros, and plans have names that are hard to keep."""
        traits = self.world.options.traits
        if traits.mangled_imports:
            agreement.reference = f"{self.made:05}"
            agreement.email = f"{agreement.reference}@example.com"
        if traits.list_by:  # a payment a day makes an order that can be seen
            agreement.count, agreement.unit, agreement.bill_from, agreement.ends_on = 1, "day", None, None
            agreement.anchor_on = max(agreement.anchor_on, self.world.witness.today())
        if traits.bends_names:
            agreement.plan = Random(f"{self.world.options.seed} plan {self.made}").choice(PLANS)

    def subscribe_again(self) -> None:
        """What a restored backup has forgotten is imported anew."""
        for agreement in self.world.clientele.forgotten.values():
            agreement.musts.clear()
            agreement.next_period = 0
            agreement.status, agreement.cancel_on, agreement.resumed_on = ACTIVE, None, None
            if agreement.not_before is not None:  # no database knows any more what another calendar charged
                agreement.bill_from = max(agreement.bill_from or date.min, agreement.not_before)
            self.world.clientele.add(agreement)
            self._import(agreement)
        self.world.clientele.forgotten.clear()

    def _import(self, agreement: Agreement) -> None:
        world = self.world
        row = SubscriptionRow(
            line=1,
            reference=agreement.reference,
            plan=agreement.plan,
            name="Sam Subscriber",
            email=agreement.address,
            amount=agreement.amount_micros,
            interval=Interval(agreement.count, Unit(agreement.unit)),
            starts_on=agreement.anchor_on,
            bill_from=agreement.bill_from,
            ends_on=agreement.ends_on,
        )
        import_rows(self.db, [row], world.settings, world.trace.now(), "person:import")
        self._note("imports", f"{agreement}")

    def act(self) -> None:
        """One thing that a person does on some day."""
        self.world.follow_the_program()
        acts: list[Callable[[], None]] = [
            self.pause,
            self.resume,
            self.resume,
            self.cancel,
            self.release,
            self.release,
            self.resolve,
            self.void,
            self.change_reminders,
            self.subscribe,
        ]
        if self.world.options.remote_deletions:
            acts += [self.delete_at_the_api] * 3
        standby = self.world.upheavals.standby
        self.rng.choice(acts + self.desk.acts())()
        self.world.upheavals.agreed(standby)

    def _note(self, what: str, detail: str = "") -> None:
        self.world.trace.note("person", what, detail)
        self.world.trace.count(f"person {what}")

    def _any(self, status: str) -> Agreement | None:
        found = [a for a in self.world.clientele.agreements.values() if a.status == status]
        return self.rng.choice(found) if found else None

    def pause(self) -> None:
        agreement = self._any(ACTIVE)
        if agreement is None:
            return
        agreement.through(self.world.witness.today(), certain=False)
        agreement.status, agreement.paused_by_program = PAUSED, False
        decisions.pause(self.db, agreement.reference, self.world.trace.now(), "on holiday")
        self._note("pauses", agreement.reference)

    def resume(self) -> None:
        agreement = self._any(PAUSED)
        if agreement is not None:
            self.resume_one(agreement)

    def resume_one(self, agreement: Agreement) -> None:
        today = self.world.witness.today()
        try:
            decisions.resume(
                self.db, agreement.reference, self.world.trace.now(), today, self.world.settings, "back"
            )
        except UsageError:
            return  # no period is left
        agreement.status, agreement.resumed_on = ACTIVE, today
        self._note("resumes", agreement.reference)

    def cancel(self) -> None:
        agreement = self._any(ACTIVE)
        if agreement is None or self.rng.random() < 0.5:
            return
        today, later = self.world.witness.today(), self.rng.random() < 0.5
        agreement.through(today, certain=False)
        now = self.world.trace.now()
        races = self.world.options.traits.read_committed
        try:
            with released_meanwhile(self.world.store) if races else nullcontext():
                last_day = decisions.cancel(self.db, agreement.reference, now, today, "enough", later)
        except UsageError:
            return  # it was cancelled before
        for payment_id, state in told_but_not_so(self.world.store) if races else ():
            self.world.trace.violated(f"the event log says that payment {payment_id} is void: it is {state}")
        self._note("cancels", f"{agreement.reference}, last day {last_day}")
        if self._status(agreement.reference) == ACTIVE:
            agreement.cancel_on = last_day + timedelta(days=1)
        else:
            agreement.status = CANCELLED
            agreement.cancel_on = agreement.cancel_on or today

    def _status(self, reference: str) -> str:
        return str(
            self.world.store.rows("SELECT status FROM subscriptions WHERE reference = ?", reference)[0][0]
        )

    def _payments(self, *states: str) -> list[tuple[Any, ...]]:
        marks = ", ".join("?" for _ in states)
        return self.world.store.rows(
            f"SELECT p.id, p.state, s.reference || '@example.com', p.due_on, p.remote_id FROM payments p "
            f"JOIN subscriptions s ON s.id = p.subscription_id WHERE p.state IN ({marks}) ORDER BY p.id",
            *states,
        )

    def release(self) -> None:
        """Everything that is held or rejected may go on."""
        ids = [row[0] for row in self._payments("held", "rejected")]
        for payment_id, email, due_on in self._charged_otherwise():
            ids.remove(payment_id)
            self.process.start(self._void(payment_id, (email, due_on)))
        if ids:
            decisions.release(self.db, ids, self.world.trace.now(), "looked at")
            self._note("releases", f"{len(ids)} payments")

    def _charged_otherwise(self) -> list[tuple[Any, ...]]:
        """Rejected payments whose days new terms have charged since: the program leaves it to whoever
        releases them to see that, and these people do."""
        return self.world.store.rows(
            "SELECT p.id, s.reference || '@example.com', p.due_on FROM payments p "
            "JOIN subscriptions s ON s.id = p.subscription_id WHERE p.state = 'rejected' AND EXISTS "
            "(SELECT 1 FROM payments o WHERE o.subscription_id = p.subscription_id AND o.id <> p.id "
            "AND o.state NOT IN ('rejected', 'void', 'uncollectible') "
            "AND o.due_on <= p.period_end_on AND p.due_on <= o.period_end_on)"
        )

    def resolve(self) -> None:
        """A person looks at the API and says what became of each parked payment."""
        for payment_id, _, email, due_on, _ in self._payments("parked"):
            self.process.start(self._resolve(payment_id, (email, due_on)))

    async def _resolve(self, payment_id: int, key: tuple[str, str]) -> None:
        api, world = self.world.api, self.world
        for wrong in [r for r in api.live(key) if r.amount_micros != self._amount(payment_id)]:
            api.delete_by_hand(wrong)
            world.witness.cleared.add(key)
        live = api.live(key)
        if not live and api.may_come(key):
            return  # too early to say
        if not live:
            world.witness.cleared.add(key)
        remote_id = live[0].remote_id if live else None
        vouches = bool(live) and not await self._says(payment_id, remote_id, vouches=False)
        if (live and not vouches) or await self._says(payment_id, remote_id, vouches=vouches):
            what = "exists" if live else "does not exist"
            self._note("vouches" if vouches else "resolves", f"{key[0]} {key[1]} {what}")

    async def _says(self, payment_id: int, remote_id: str | None, *, vouches: bool) -> bool:
        """Whether it was believed: the API may be out of reach, a run quicker, or the record differ."""
        now, today = self.world.trace.now(), self.world.witness.today()
        try:
            await decisions.resolve(
                self.db, self.gateway, payment_id, remote_id, now, today, "looked it up", vouches
            )
        except (UsageError, GatewayError):
            return False
        return True

    def _amount(self, payment_id: int) -> int:
        rows = self.world.store.rows("SELECT amount_micros FROM payments WHERE id = ?", payment_id)
        return int(rows[0][0])

    def void(self) -> None:
        rows = self._payments("held", "open")
        if rows and self.rng.random() < 0.3:
            payment_id, _, email, due_on, _ = self.rng.choice(rows)
            self.process.start(self._void(payment_id, (email, due_on)))

    async def _void(self, payment_id: int, key: tuple[str, str]) -> None:
        try:
            quiet = self.world.settings.reconcile.quiet_seconds
            await decisions.void(
                self.db, self.gateway, payment_id, self.world.trace.now(), quiet, "a present"
            )
        except (UsageError, GatewayError):
            return
        self.voided.add(key)
        self._note("voids", f"{key[0]} {key[1]}")

    def change_reminders(self) -> None:
        days = self.rng.choice(_OFFSETS)
        self.world.settings = self.world.settings.model_copy(
            update={"reminders": Reminders(days_before=days)}
        )
        self._note("changes the reminders", str(days))

    def delete_at_the_api(self) -> None:
        """Somebody deletes a remote payment that the program knows of, on the API's own page."""
        found = [
            remote
            for row in self._payments("open", "paid")
            if (remote := self.world.api.records.get(row[4])) is not None and remote.live
        ]
        if found:
            self.world.api.delete_by_hand(self.rng.choice(found))

    async def settle_everything(self) -> None:
        """In the quiet tail people see to whatever waits for them."""
        self.world.follow_the_program()
        self._raise_limits()
        self.world.upheavals.tenant_yields()
        self.subscribe_again()
        for agreement in list(self.world.clientele.agreements.values()):
            if agreement.status == PAUSED and self._holds(agreement):
                self.resume_one(agreement)
            if agreement.status == PAUSED:  # no period is left: it can't be resumed, nor charged
                for payment_id, _, email, due_on, _ in self._payments("held", "rejected"):
                    if email == agreement.email:
                        await self._void(payment_id, (email, due_on))
        await self._void_what_was_deleted()
        self.release()
        self.resolve()
        self._judge_the_doubt()

    async def _void_what_was_deleted(self) -> None:
        """Whoever deletes a remote payment by hand is asked to void it: until then its mails wait."""
        for payment_id, email, due_on in self.world.store.rows(
            "SELECT p.id, s.reference || '@example.com', p.due_on FROM payments p "
            "JOIN subscriptions s ON s.id = p.subscription_id "
            "WHERE p.state = 'open' AND p.attention LIKE '%no longer at Mileston%'"
        ):
            if any(r.deleted_by == BY_HAND for r in self.world.api.by_key.get((email, due_on), ())):
                await self._void(payment_id, (email, due_on))

    def _judge_the_doubt(self) -> None:
        """Where no list can settle a doubt, a person looks at the API's own page, and says what is so."""
        doubted = self.world.store.rows("SELECT doubt_since FROM identity WHERE doubt <> ''")
        a_day_ago = self.world.trace.now() - timedelta(days=1)
        if not doubted or datetime.fromisoformat(doubted[0][0]).replace(tzinfo=UTC) > a_day_ago:
            return
        known = {row[0] for row in self.world.store.rows("SELECT remote_id FROM payments")}
        forgotten = [r for r in self.world.api.records.values() if r.wire and r.remote_id not in known]
        now = self.world.trace.now()
        if forgotten:
            mark_restored_by_hand(self.db, now)
        else:
            trust_by_hand(self.db, now)
        self._note("says that the database was restored" if forgotten else "trusts the database")

    def _raise_limits(self) -> None:
        cycle = self.world.settings.cycle
        limits = Cycle(concurrency=cycle.concurrency, catch_up_limit=cycle.catch_up_limit)
        if cycle != limits:
            self.world.settings = self.world.settings.model_copy(update={"cycle": limits})

    def _holds(self, agreement: Agreement) -> bool:
        return any(row[2] == agreement.email for row in self._payments("held", "rejected", "parked"))
