"""Faults on purpose that the oracles of the wide world have to find; see `planted.py`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from billing.app import runtime
from billing.core.brakes import Brakes
from billing.core.dunning import DunningDecision
from billing.core.outcomes import RemoteStatus
from billing.cycle import deliver, dun, observe, reconcile
from billing.cycle.report import Report
from billing.gateway import mileston
from billing.store.home import Home

from . import gateway
from .fates import CreateBody
from .planted import Planted

_CALM: dict[str, Any] = {
    "only": ("name_escaped",),
    "restores": 0,
    "stalls": 0.0,
    "spells": 0,
    "crashes": 0.0,
    "read_faults": 0.0,
    "people": 0.0,
    "subscriptions": 5,
    "payers": 1.0,
    "create_faults": {},
    "tempo": "days",
}


@contextmanager
def _reads_everything_as(status: RemoteStatus) -> Iterator[None]:
    with patch.object(mileston, "read_status", lambda _word: status):
        yield


async def _sweep_away(ctx: Any, seen: Any) -> None:
    for remote in seen.by_id.values():
        if remote.marker is not None and not remote.paid and remote.email.startswith("tenant"):
            await ctx.gateway.get(remote.remote_id)
            await ctx.gateway.delete(remote.remote_id)


@contextmanager
def _sweeping_strangers() -> Iterator[None]:
    with patch.object(reconcile, "sweep", _sweep_away):
        yield


def _for_twice_as_long(**values: Any) -> CreateBody:
    return CreateBody(**values | {"interval_days": 2 * values["interval_days"]})


def _no_link_holds(row: Any, _today: Any) -> str:
    return "its link leads nowhere" if row.kind == "payment_created" else ""


def _always(outcome: str) -> Any:
    return patch.object(Report, "outcome", property(lambda _report: outcome))


def _blind_to_its_home() -> Any:
    return patch.object(Home, "reason", lambda *_: "")


PLANTED_WIDE = (
    Planted(
        "does not notice that its folder was put back",
        _blind_to_its_home,
        "was charged twice",
        _CALM | {"only": ("folder_restores",), "folder_restores": "inode", "restores": 3, "read_faults": 0.6},
    ),
    Planted(
        "does not notice that a standby was promoted",
        _blind_to_its_home,
        "was charged twice",
        _CALM | {"only": ("failovers",), "restores": 3, "read_faults": 0.6},
    ),
    Planted(
        "goes on with a standby that was promoted in mid-run",
        lambda: patch.object(runtime, "on_new_connection", lambda *_: None),
        "was charged twice",
        _CALM
        | {"only": ("failovers",), "tempo": "weeks", "processes": 3, "restores": 8, "read_faults": 0.5}
        | {"steps": 14},
        first=94,
    ),
    Planted(
        "reads a hundred records of years of history",
        lambda: patch.object(observe, "_largest", lambda _ctx: 100),
        "was charged twice",
        {"only": ("long_history",)},
        first=28,
    ),
    Planted(
        "takes everything for paid",
        lambda: _reads_everything_as(RemoteStatus.PAID),
        "got a receipt, and nobody had paid",
        _CALM | {"payers": 0.3},
    ),
    Planted(
        "takes everything for unpaid",
        lambda: _reads_everything_as(RemoteStatus.UNPAID),
        "after paying",
        _CALM,
    ),
    Planted(
        "deletes duplicates that were paid",
        lambda: _reads_everything_as(RemoteStatus.UNPAID),
        "which it had seen paid",
        _CALM | {"create_faults": {"duplicate": 0.7}},
    ),
    Planted(
        "deletes what another tenant made",
        _sweeping_strangers,
        "which another tenant made",
        _CALM | {"only": ("tenant",), "create_faults": {"lost_reply": 0.3}},
    ),
    Planted(
        "charges for twice as long",
        lambda: patch.object(gateway, "CreateBody", _for_twice_as_long),
        "was charged",
        _CALM | {"tempo": "weeks"},
    ),
    Planted(
        "does not tell how to pay",
        lambda: patch.object(deliver, "no_longer_holds", _no_link_holds),
        "was never told how to pay",
        _CALM | {"payers": 0.0},
    ),
    Planted(
        "has no brakes",
        lambda: patch.object(Brakes, "admit", lambda *_: ""),
        "runs at once sent",
        {"only": ("shared_brakes",)},
    ),
    Planted(
        "pauses at once",
        lambda: patch.object(dun, "decide_dunning", lambda *_: DunningDecision(final=True)),
        "without any overdue notice",
        _CALM | {"only": ("ladder",), "payers": 0.0},
    ),
    Planted("always says ok", lambda: _always("ok"), "says ok, and", {"only": ("says",), "processes": 1}),
    Planted(
        "always calls a person",
        lambda: _always("attention"),
        "says attention, and nothing",
        {"only": ("says",), "processes": 1},
    ),
)
