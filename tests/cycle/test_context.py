"""What a run works with: its limits, who acts, and from which day what it makes can be paid."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from billing.core.brakes import BrakeLimits
from billing.core.money import parse_amount
from billing.cycle.context import Context, Gateway, Renderer, Transport
from billing.cycle.report import Report
from billing.gateway.mileston import MilestonGateway
from billing.mail.console import ConsoleTransport
from billing.mail.file import FileTransport
from billing.mail.render import Renderer as RealRenderer
from billing.mail.smtp import SmtpTransport
from tests.support.fake_gateway import START
from tests.support.rig import DAY, Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "rig")


def bare(rig: Rig, as_of: date = DAY, **settings: Any) -> Context:
    """A context of which only what must be given is given."""
    nobody: Any = None
    return Context(
        db=rig.db,
        gateway=rig.api,
        transport=nobody,
        renderer=nobody,
        settings=rig.settings.model_copy(update=settings),
        run_id="run-1",
        as_of=as_of,
        clock=rig.clock,
        report=Report("run-1", as_of),
    )


def in_environment(rig: Rig, environment: str, as_of: date, timezone: str = "UTC") -> Context:
    mileston = rig.settings.mileston.model_copy(update={"environment": environment})
    business = rig.settings.business.model_copy(update={"timezone": timezone})
    return bare(rig, as_of, mileston=mileston, business=business)


def test_a_run_is_named_in_the_log_by_its_id(rig: Rig) -> None:
    assert bare(rig).actor == "run:run-1"


def test_it_began_when_it_was_made_whatever_time_it_is_now(rig: Rig) -> None:
    ctx = bare(rig)
    rig.clock.to(3600)
    assert ctx.began == START
    assert ctx.clock() == START + timedelta(hours=1)


def test_its_brakes_are_those_of_the_settings_and_its_own(tmp_path: Path) -> None:
    limits = {
        "max_payments_per_run": 7,
        "max_amount_per_run": "12.50",
        "max_unknown_share": 0.25,
        "max_consecutive_failures": 3,
    }
    rig = Rig(tmp_path / "limited", cycle=limits)
    one, other = rig.context(), rig.context()
    assert one.brakes.limits == BrakeLimits(7, parse_amount("12.50"), 0.25, 3)
    one.brakes.admit(5)
    assert (one.brakes.payments, other.brakes.payments) == (1, 0)


def test_unless_it_is_told_it_is_alone_goes_on_and_has_seen_no_list(rig: Rig) -> None:
    ctx = bare(rig)
    assert ctx.exclusive
    assert not ctx.stopping()
    assert ctx.observation is None
    ctx.progress("submit", 1, 2)  # nobody watches
    ctx.checkpoint("submit.committed")


# -- from which day it can be paid ---------------------------------------------------------------------


@pytest.mark.parametrize("as_of", [DAY - timedelta(days=3), DAY, DAY + timedelta(days=3)])
def test_in_the_sandbox_the_day_is_whatever_the_run_says(rig: Rig, as_of: date) -> None:
    assert in_environment(rig, "sandbox", as_of).payable_from == as_of


@pytest.mark.parametrize(
    ("as_of", "payable"),
    [(DAY - timedelta(days=3), DAY), (DAY, DAY), (DAY + timedelta(days=3), DAY + timedelta(days=3))],
)
def test_in_live_it_is_never_before_the_real_day(rig: Rig, as_of: date, payable: date) -> None:
    assert in_environment(rig, "live", as_of).payable_from == payable


@pytest.mark.parametrize(
    ("timezone", "at", "payable"),
    [
        ("Pacific/Auckland", datetime(2026, 2, 1, 12, 0, tzinfo=UTC), date(2026, 2, 2)),
        ("Pacific/Auckland", datetime(2026, 2, 1, 10, 59, tzinfo=UTC), date(2026, 2, 1)),
        ("America/Los_Angeles", datetime(2026, 2, 1, 7, 59, tzinfo=UTC), date(2026, 1, 31)),
        ("America/Los_Angeles", datetime(2026, 2, 1, 8, 0, tzinfo=UTC), date(2026, 2, 1)),
    ],
)
def test_the_real_day_is_that_of_the_businesss_zone(
    rig: Rig, timezone: str, at: datetime, payable: date
) -> None:
    ctx = in_environment(rig, "live", date(2026, 1, 1), timezone)
    rig.clock.now = at
    assert ctx.payable_from == payable


def test_a_run_that_goes_on_past_midnight_makes_payments_of_the_new_day(rig: Rig) -> None:
    ctx = in_environment(rig, "live", DAY)
    rig.clock.to(timedelta(hours=13).total_seconds())
    assert ctx.payable_from == DAY + timedelta(days=1)


# -- who fulfils the protocols -------------------------------------------------------------------------


def members_of(protocol: type) -> set[str]:
    return {name for name in vars(protocol) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("protocol", "made"),
    [
        (Gateway, MilestonGateway),
        (Transport, ConsoleTransport),
        (Transport, FileTransport),
        (Transport, SmtpTransport),
        (Renderer, RealRenderer),
    ],
)
def test_what_the_app_puts_in_has_all_that_the_cycle_asks_for(protocol: type, made: type) -> None:
    assert members_of(protocol)
    assert members_of(protocol) <= {name for one in made.__mro__ for name in vars(one)}
