"""What kind of world a seed makes: which faults it has, how often, and how the program is set up.

Each world has only some of the faults ("swarm testing", Groce et al. 2012): a world with all of them
would hardly ever get past the first.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from billing.config.schema import Business as BusinessSection
from billing.config.schema import Cycle, Dunning, Mail, Mileston, Reconcile, Reminders, Settings

from .fitting import fitted
from .traits import TRAITS, Traits, draw_traits

CREATE_FAULTS = {
    "lost_reply": 0.25,  # it takes effect, and no answer ever comes
    "reset": 0.2,  # it takes effect, and the connection breaks
    "vanished": 0.15,  # it never arrives, and no answer ever comes
    "refused": 0.1,  # 400, 403, 404 or 422; nothing takes effect
    "error": 0.2,  # another 4xx or a 5xx; nothing takes effect
    "error_committed": 0.2,  # 500 and the like, and yet it took effect
    "late": 0.25,  # 504 now, and it takes effect later
    "throttled": 0.2,  # 429 with Retry-After; nothing takes effect
    "throttled_committed": 0.1,  # 429, and yet it took effect
    "slow": 0.3,  # the answer comes around the time limit, or after it
    "wrong_echo": 0.1,  # it takes effect, and the answer repeats something else
    "other_id": 0.1,  # it takes effect, and the answer names another remote payment
    "no_json": 0.1,  # 200 and no JSON; it may have taken effect
    "stored_wrong": 0.04,  # it takes effect with another amount
    "duplicate": 0.25,  # the network delivers it twice
}
"""Faults of a create, and at most how often each strikes in a world that has it."""

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Pacific/Auckland", "Asia/Kolkata", "Pacific/Honolulu")


@dataclass(frozen=True)
class Options:
    """One world. `steps` is the number of times that cycles are started before the quiet tail."""

    seed: int
    steps: int
    began: datetime
    zone: str
    tempo: str
    """Whether cycles start every few `minutes`, `hours`, `days` or `weeks`."""
    subscriptions: int
    processes: int
    """How many cycles may run at once; 1 is SQLite's one cycle at a time (`exclusive`)."""
    create_faults: dict[str, float]
    read_faults: float
    stale_lists: float
    list_order: str
    list_cap: int
    """0: none."""
    spells: int
    """Times of 401, refused connections, or silence."""
    crashes: float
    stalls: float
    store_faults: float
    restores: int
    people: float
    """How often a person acts, a step."""
    payers: float
    remote_deletions: bool
    unpaid_flips: bool
    mail_faults: float
    foreign_records: int
    settings: Settings = field(repr=False)
    blind_cap: bool = False
    """The residual risk: the list hides exactly the lost ones and none that we know of."""
    skew: float = 0.0
    """By how many seconds at most the clocks of processes that share the work go wrong."""
    loses_all: bool = False
    """Instead of being restored the database is lost, and everything is imported into a new one."""
    mid_run_copies: bool = False
    """The residual risk: a plain file copy taken in the middle of a run is restored, unmarked."""
    traits: Traits = field(default_factory=Traits)

    @property
    def exclusive(self) -> bool:
        return self.processes == 1

    @property
    def quiet_seconds(self) -> float:
        """What the API keeps to: late commits and list lag stay below it."""
        return self.settings.reconcile.quiet_seconds

    def shown(self) -> str:
        """The options in one line each, for the reader of a failing seed."""
        s = self.settings
        setup: dict[str, Any] = {
            "timeout": s.mileston.timeout_seconds,
            "quiet": s.reconcile.quiet_seconds,
            "page": f"{s.reconcile.page_size}-{s.reconcile.max_records}",
            "when_absent": s.reconcile.when_absent,
            "concurrency": s.cycle.concurrency,
            "brakes": f"{s.cycle.max_payments_per_run}/{s.cycle.max_unknown_share:g}/"
            f"{s.cycle.max_consecutive_failures}",
            "catch_up": s.cycle.catch_up_limit,
            "dunning": f"{s.dunning.days_after}/{s.dunning.final_after_days}/{s.dunning.final_action}",
            "on_unknown": s.mail.on_unknown,
        }
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("settings", "traits")}
        own |= self.traits.named()
        return "\n".join(f"  {name} = {value}" for name, value in (own | setup).items())


def draw(
    seed: int,
    steps: int,
    rng: Random,
    *,
    wide: bool = False,
    only: Collection[str] = (),
    later: Collection[str] = (),
    **fixed: Any,
) -> Options:
    """The options of a seed; `fixed` replaces some of them (traits as well), for tests.

    `wide`, `only` and `later` choose its traits: see `draw_traits`.
    """
    strengths = {name: fixed.pop(name) for name in TRAITS if name in fixed}
    narrow = _narrow(seed, steps, rng)
    traits = draw_traits(seed, wide=wide, only=only, later=later, **strengths)
    return replace(fitted(narrow, traits) if traits.wide else narrow, **fixed)


def _narrow(seed: int, steps: int, rng: Random) -> Options:
    calm = rng.random() < 0.05
    restores = int(rng.random() < 0.2) + int(rng.random() < 0.05)
    cap = rng.choice((7, 8, 10, 15)) if rng.random() < 0.12 else 0
    faults = {} if calm else _create_faults(rng, restored=bool(restores), capped=bool(cap))
    options = Options(
        seed=seed,
        steps=steps,
        began=_beginning(rng),
        zone=rng.choice(ZONES),
        tempo=rng.choices(("minutes", "hours", "days", "weeks"), (1, 2, 5, 4))[0],
        subscriptions=rng.choice((1, 2, 3, 3, 4, 5)),
        processes=rng.choice((1, 1, 2, 3)),
        create_faults=faults,
        read_faults=0.0 if calm else rng.choice((0.0, 0.05, 0.3)),
        stale_lists=rng.choice((0.0, 0.0, 0.3, 0.8)),
        list_order=rng.choice(("newest", "newest", "oldest", "random")),
        list_cap=cap,
        spells=0 if calm else rng.choice((0, 0, 1, 2, 4)),
        crashes=0.0 if calm else rng.choice((0.0, 0.2, 0.5, 0.8)),
        stalls=0.0 if calm else rng.choice((0.0, 0.0, 0.2, 0.5)),
        store_faults=rng.choice((0.0, 0.0, 0.0, 0.02)),
        restores=restores,
        people=rng.choice((0.0, 0.3, 0.6)),
        payers=rng.choice((0.3, 0.8, 1.0)),
        remote_deletions=not restores and rng.random() < 0.15,
        unpaid_flips=not restores and "duplicate" not in faults and rng.random() < 0.05,
        mail_faults=rng.choice((0.0, 0.1, 0.4)),
        foreign_records=rng.choice((0, 0, 3)),
        settings=_settings(rng),
    )
    business = options.settings.business.model_copy(update={"timezone": options.zone})
    options = replace(options, settings=options.settings.model_copy(update={"business": business}))
    options = replace(options, skew=options.quiet_seconds * rng.choice((0.0, 0.0, 0.1, 0.3)))
    if restores and rng.random() < 0.3:
        # What a new database needs to be told apart from one that is just new: a list that answers.
        options = replace(options, loses_all=True, restores=1, read_faults=0.0, list_cap=0, spells=0)
    return options


def _create_faults(rng: Random, *, restored: bool, capped: bool) -> dict[str, float]:
    chosen = {}
    for name, most in CREATE_FAULTS.items():
        if rng.random() < 0.3:
            chosen[name] = most * rng.choice((0.2, 0.5, 1.0, 1.0))
    if restored:
        chosen.pop("stored_wrong", None)
    if capped:  # a duplicate that no list ever shows can't be swept
        chosen.pop("duplicate", None)
    return chosen


def _beginning(rng: Random) -> datetime:
    """Some instant of four years, often before a month's end, sometimes before 29 February."""
    day = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=rng.randrange(4 * 365))
    if rng.random() < 0.4:
        day = day.replace(day=1) + timedelta(days=26)
    if rng.random() < 0.1:
        day = datetime(rng.choice((2024, 2027, 2028)), 2, 25, tzinfo=UTC)
    return day + timedelta(seconds=rng.randrange(86_400))


def _settings(rng: Random) -> Settings:
    small_brakes = rng.random() < 0.15
    cycle = Cycle(
        concurrency=rng.choice((1, 2, 4)),
        max_payments_per_run=rng.choice((1, 2, 4)) if small_brakes else 100_000,
        max_amount_per_run="40.00" if rng.random() < 0.05 else "50000.00",  # type: ignore[arg-type]  # as configured
        max_unknown_share=rng.choice((0.2, 0.5, 1.0)),
        max_consecutive_failures=rng.choice((2, 5, 100)),
        catch_up_limit=rng.choice((0, 1, 1, 3)),
    )
    pages = rng.choice(((3, 192), (10, 160), (500, 8000), (500, 8000)))
    reconcile = Reconcile(
        quiet_seconds=rng.choice((60.0, 300.0, 300.0, 900.0)),
        page_size=pages[0],
        max_records=pages[1],
        when_absent="park" if rng.random() < 0.06 else "resend",
    )
    final = rng.choice((5, 21, 21, 40))
    return Settings(
        business=BusinessSection(timezone="UTC"),  # its zone is set with the world's
        mileston=Mileston(
            timeout_seconds=rng.choice((5.0, 15.0)),
            requests_per_second=rng.choice((0.0, 0.0, 0.0, 2.0)),
        ),
        cycle=cycle,
        reconcile=reconcile,
        reminders=Reminders(days_before=rng.choice(([7, 3, 1], [2], []))),
        dunning=Dunning(
            days_after=rng.choice(([1, 3, 7, 14], [2])),
            final_after_days=final,
            final_action=rng.choice(("pause", "cancel", "keep", "keep")),
        ),
        mail=Mail(
            transport="smtp",
            concurrency=rng.choice((1, 2)),
            on_unknown="hold" if rng.random() < 0.8 else "resend",
        ),
    )
