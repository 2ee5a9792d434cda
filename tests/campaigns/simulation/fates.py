"""What can become of a create: when it takes effect, when an answer comes, and which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .api import ModelApi

_ERRORS = (500, 502, 503, 408, 409, 425)
_ALMOST = 0.95
"""Late is always less than `quiet_seconds` late."""


@dataclass(frozen=True, slots=True)
class CreateBody:
    """What a create says. `due_on` is an ISO date."""

    name: str
    email: str
    amount_micros: int
    due_on: str
    interval_days: int = 30
    charged_days: int = 0
    """How long the period is that it charges, where that is not its interval."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A remote payment as an answer shows it."""

    remote_id: str
    name: str
    email: str
    amount_micros: int
    paid: bool
    """What is so; `status` is what the answer says."""
    status: str | None
    due_on: str
    interval_days: int


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; status 0 is a connection that broke instead."""

    status: int
    retry_after: float | None = None
    shown: Shown | None = None
    listed: tuple[Shown, ...] | None = None


RESET = Reply(0)
Echo = Callable[[Shown, "ModelApi"], Shown | None]


@dataclass(frozen=True, slots=True)
class Fate:
    """Seconds are counted from when the bytes left; `echo_after` from when it took effect.

    None: never. `reply` comes whether it took effect or not; `echo` makes the answer of a success.
    """

    commit_after: float | None = None
    twin_after: float | None = None
    answer_after: float | None = None
    reply: Reply | None = None
    echo: Echo | None = None
    echo_after: float = 0.0
    stored: CreateBody | None = None


def _truly(shown: Shown, _api: ModelApi) -> Shown:
    return shown


def _ok(api: ModelApi, _body: CreateBody) -> Fate:
    return Fate(commit_after=api.latency(), echo=_truly, echo_after=api.latency())


def _lost_reply(api: ModelApi, _body: CreateBody) -> Fate:
    return Fate(commit_after=api.latency())


def _reset(api: ModelApi, _body: CreateBody) -> Fate:
    at = api.latency()
    return Fate(commit_after=at, answer_after=at + api.rng.uniform(0, 0.5), reply=RESET)


def _vanished(_api: ModelApi, _body: CreateBody) -> Fate:
    return Fate()


def _silent(api: ModelApi, _body: CreateBody) -> Fate:
    """A time of silence: it may take effect or not, and nobody says."""
    return Fate(commit_after=api.latency()) if api.rng.random() < 0.5 else Fate()


def _refused(api: ModelApi, _body: CreateBody) -> Fate:
    return Fate(answer_after=api.latency(), reply=Reply(api.rng.choice((400, 403, 404, 422))))


def _unauthorized(api: ModelApi, _body: CreateBody) -> Fate:
    return Fate(answer_after=api.latency(), reply=Reply(401))


def _error(api: ModelApi, _body: CreateBody) -> Fate:
    return Fate(answer_after=api.latency(), reply=Reply(api.rng.choice(_ERRORS)))


def _error_committed(api: ModelApi, _body: CreateBody) -> Fate:
    at = api.latency()
    reply = Reply(api.rng.choice(_ERRORS))
    return Fate(commit_after=at, answer_after=at + api.rng.uniform(0, 0.5), reply=reply)


def _late(api: ModelApi, _body: CreateBody) -> Fate:
    """A gateway timeout before the work is done: it takes effect after the answer."""
    at = api.latency()
    late = api.rng.uniform(0, _ALMOST * api.options.quiet_seconds - at)
    return Fate(commit_after=at + late, answer_after=at, reply=Reply(504))


def _throttled(api: ModelApi, _body: CreateBody) -> Fate:
    reply = Reply(429, retry_after=api.rng.choice((None, 1.0, 5.0, 30.0, 120.0)))
    return Fate(answer_after=api.latency(), reply=reply)


def _throttled_committed(api: ModelApi, body: CreateBody) -> Fate:
    return replace(_throttled(api, body), commit_after=api.latency())


def _slow(api: ModelApi, _body: CreateBody) -> Fate:
    """The answer comes around the time limit; the work may be done long before, or after it."""
    timeout = api.options.settings.mileston.timeout_seconds
    at = min(api.rng.uniform(0.3, 1.5) * timeout, _ALMOST * api.options.quiet_seconds)
    return Fate(commit_after=at, echo=_truly, echo_after=api.rng.uniform(0, 0.5 * timeout))


def _with_wrong(shown: Shown, rng: Random) -> Shown:
    """An echo that repeats something else than what was sent."""
    what = rng.choice(("amount", "email", "name", "id"))
    if what == "amount":
        return replace(shown, amount_micros=shown.amount_micros + 1)
    if what == "email":
        return replace(shown, email="somebody@else.example")
    if what == "name":
        return replace(shown, name="another plan")
    return replace(shown, remote_id="")


def _wrong_echo(api: ModelApi, _body: CreateBody) -> Fate:
    return Fate(
        commit_after=api.latency(),
        echo=lambda shown, api: _with_wrong(shown, api.rng),
        echo_after=api.latency(),
    )


def _other_id(api: ModelApi, _body: CreateBody) -> Fate:
    """The answer names a remote payment that the program has booked for another payment."""

    def of_another(shown: Shown, api: ModelApi) -> Shown:
        others = sorted(api.witness.counted_on())
        return replace(shown, remote_id=api.rng.choice(others)) if others else shown

    return Fate(commit_after=api.latency(), echo=of_another, echo_after=api.latency())


def _no_json(api: ModelApi, _body: CreateBody) -> Fate:
    at = api.latency()
    commit = at if api.rng.random() < 0.5 else None
    return Fate(commit_after=commit, answer_after=at + 0.1, reply=Reply(200))


def _stored_wrong(api: ModelApi, body: CreateBody) -> Fate:
    stored = replace(body, amount_micros=body.amount_micros + 1)
    return Fate(commit_after=api.latency(), echo=_truly, echo_after=api.latency(), stored=stored)


def _duplicate(api: ModelApi, body: CreateBody) -> Fate:
    """The network delivers it twice; the answer is to either, or is lost."""
    quiet = api.options.quiet_seconds
    first = _lost_reply(api, body) if api.rng.random() < 0.3 else _ok(api, body)
    gap = api.rng.choice((0.0, 0.01, 1.0, 20.0, 0.9 * quiet))
    other = min(_ALMOST * quiet, (first.commit_after or 0.0) + api.rng.uniform(0, gap))
    return replace(first, twin_after=other)


def _kernel(_api: ModelApi, _body: CreateBody) -> Fate:
    """Nothing reaches the API yet: the kernel has it."""
    return Fate()


CREATE_FATES: dict[str, Callable[[ModelApi, CreateBody], Fate]] = {
    "ok": _ok,
    "lost_reply": _lost_reply,
    "reset": _reset,
    "vanished": _vanished,
    "silent": _silent,
    "refused": _refused,
    "unauthorized": _unauthorized,
    "error": _error,
    "error_committed": _error_committed,
    "late": _late,
    "throttled": _throttled,
    "throttled_committed": _throttled_committed,
    "slow": _slow,
    "wrong_echo": _wrong_echo,
    "other_id": _other_id,
    "no_json": _no_json,
    "stored_wrong": _stored_wrong,
    "duplicate": _duplicate,
    "kernel": _kernel,
}
