"""Faults on demand: what they are called, how an order is written, and the dice that deal them out.

An order is `NAME=VALUE`, where VALUE is `RATE` or `RATE:PARAMETER` for a fault, as in
`late_commit=0.1:5`. A fault affects creates, or another call when it is named, as in `list.500=0.3`.
Four names are settings rather than faults: `latency=20-80`, `list_order=oldest`, `list_cap=100`, and
`per_second=10`: whatever comes beyond so many calls in a second is answered 429 with Retry-After: 1.
"""

import math
import random
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import NamedTuple

from billing.sandbox.errors import FaultError

CALLS = ("create", "get", "list", "update", "delete")
ORDERS = ("newest", "oldest", "random")

# What each fault does is described where it is done, in misbehave.py.
FAULTS_OF_ANY_CALL = ("500", "503", "429", "cut_before_commit", "cut_after_commit", "garbage", "slow_drip")
FAULTS_OF_CREATE = ("late_commit", "wrong_echo", "huge")
FAULT_OF_LIST = "stale_list"
SETTINGS = ("latency", "list_order", "list_cap", "per_second")
NAMES = (*FAULTS_OF_ANY_CALL, *FAULTS_OF_CREATE, FAULT_OF_LIST, *SETTINGS)

# Seconds, but for huge: MiB. The faults that are missing here take no parameter.
DEFAULT_PARAMETERS = {
    "503": 1.0,
    "429": 1.0,
    "slow_drip": 1.0,
    "late_commit": 5.0,
    "stale_list": 3.0,
    "huge": 64.0,
}
WHOLE_PARAMETERS = ("503", "429", "huge")  # Retry-After has no fractions


class Fault(NamedTuple):
    name: str
    rate: float
    parameter: float = 0.0

    def __str__(self) -> str:
        suffix = f":{self.parameter:g}" if self.name in DEFAULT_PARAMETERS else ""
        return f"{self.rate:g}{suffix}"


@dataclass(frozen=True)
class Settings:
    """One complete order. Made by parse_settings; `as_mapping` writes it the same way back."""

    by_call: Mapping[str, tuple[Fault, ...]] = field(default_factory=dict)
    stale_list: Fault | None = None
    latency_ms: tuple[float, float] | None = None
    list_order: str = "newest"
    list_cap: int | None = None
    per_second: int | None = None

    def as_mapping(self) -> dict[str, str]:
        order: dict[str, str] = {}
        for call, faults in self.by_call.items():
            prefix = "" if call == "create" else f"{call}."
            order |= {prefix + fault.name: str(fault) for fault in faults}
        if self.stale_list is not None:
            order["stale_list"] = str(self.stale_list)
        if self.latency_ms is not None:
            order["latency"] = "{:g}-{:g}".format(*self.latency_ms)
        if self.list_order != "newest":
            order["list_order"] = self.list_order
        if self.list_cap is not None:
            order["list_cap"] = str(self.list_cap)
        if self.per_second is not None:
            order["per_second"] = str(self.per_second)
        return order


def parse_settings(order: Mapping[str, object]) -> Settings:
    """Read a whole order; of two values for one fault the last one counts. Raises FaultError."""
    by_call: dict[str, dict[str, Fault]] = {}
    single: dict[str, str] = {}
    for written, value in order.items():
        call, name = _call_and_name(written)
        if name in SETTINGS or name == FAULT_OF_LIST:
            single[name] = str(value)
        else:
            by_call.setdefault(call, {})[name] = _fault(name, str(value))
    for call, faults in by_call.items():
        if sum(fault.rate for fault in faults.values()) > 1 + 1e-9:
            raise FaultError(f"the rates of the faults of {call} add up to more than 1")
    return Settings(
        by_call={call: tuple(faults.values()) for call, faults in by_call.items()},
        stale_list=_fault(FAULT_OF_LIST, single[FAULT_OF_LIST]) if FAULT_OF_LIST in single else None,
        latency_ms=_latency(single["latency"]) if "latency" in single else None,
        list_order=_order(single.get("list_order", "newest")),
        list_cap=_whole("list_cap", single["list_cap"]) if "list_cap" in single else None,
        per_second=_whole("per_second", single["per_second"]) if "per_second" in single else None,
    )


def parse_orders(orders: Iterable[str]) -> dict[str, str]:
    """Split the command line's `NAME=VALUE` words. Raises FaultError."""
    pairs = {}
    for order in orders:
        name, sign, value = order.partition("=")
        if not sign:
            raise FaultError(f"{order!r} must be written NAME=VALUE, as in 500=0.1")
        pairs[name] = value
    return pairs


def parse_script(entries: Iterable[str]) -> list[Fault | None]:
    """Read a script for creates: `ok` or the name of a fault, with its parameter as in `503:2`."""
    script: list[Fault | None] = []
    for entry in entries:
        if not isinstance(entry, str):
            raise FaultError(f"a script is a list of names; {entry!r} is not one")
        name, _, parameter = entry.strip().partition(":")
        if name == "ok":
            script.append(None)
            continue
        call, name = _call_and_name(name)
        if call != "create" or name == FAULT_OF_LIST or name in SETTINGS:
            raise FaultError(f"{entry!r} is not allowed in a script, which is only for creates")
        script.append(_fault(name, f"1:{parameter}" if parameter else "1"))
    return script


def _call_and_name(written: str) -> tuple[str, str]:
    name = written.strip().lower().replace("-", "_")
    call, dot, rest = name.partition(".")
    if not dot:
        call, rest = "create", name
    if call not in CALLS:
        raise FaultError(f"unknown call {call!r} in {written!r}: allowed are {', '.join(CALLS)}")
    if rest not in NAMES:
        near = get_close_matches(rest, NAMES, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise FaultError(f"unknown fault {written!r}{hint} Allowed are {', '.join(NAMES)}")
    if dot and (rest in SETTINGS or rest == FAULT_OF_LIST):
        raise FaultError(f"{rest} is written without a call, not {written!r}")
    if call != "create" and rest not in FAULTS_OF_ANY_CALL:
        raise FaultError(f"{rest} affects only creates; any call can have {', '.join(FAULTS_OF_ANY_CALL)}")
    return call, rest


def _number(name: str, text: str, low: float, high: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low <= number <= high:  # NaN compares false, so it is refused too
        raise FaultError(f"{name}={text}: must be a number from {low:g} to {high:g}")
    return number


def _fault(name: str, value: str) -> Fault:
    rate, colon, parameter = value.partition(":")
    fault = Fault(name, _number(name, rate, 0, 1), DEFAULT_PARAMETERS.get(name, 0.0))
    if not colon:
        return fault
    if name not in DEFAULT_PARAMETERS:
        raise FaultError(f"{name}={value}: {name} takes a rate and nothing else")
    number = _number(name, parameter, 0, 86_400)
    if name in WHOLE_PARAMETERS and not number.is_integer():
        raise FaultError(f"{name}={value}: the value after the colon must be a whole number")
    return fault._replace(parameter=number)


def _latency(text: str) -> tuple[float, float]:
    low, dash, high = text.partition("-")
    least = _number("latency", low, 0, 3_600_000)
    return least, _number("latency", high, least, 3_600_000) if dash else least


def _order(text: str) -> str:
    if text not in ORDERS:
        raise FaultError(f"list_order={text}: allowed are {', '.join(ORDERS)}")
    return text


def _whole(name: str, text: str) -> int:
    number = _number(name, text, 1, 1e9)
    if not number.is_integer():
        raise FaultError(f"{name}={text}: must be a whole number")
    return int(number)


class Dice:
    """Hands out the faults. Each call has its own seeded sequence, so that how many lists were asked for
    does not change which creates fail."""

    def __init__(self, settings: Settings, script: Iterable[Fault | None], seed: int) -> None:
        self.settings = settings
        self.script = deque(script)
        self._rng = {
            name: random.Random(f"{seed}/{name}") for name in (*CALLS, "latency", FAULT_OF_LIST, "list_order")
        }

    def draw(self, call: str) -> Fault | None:
        """Return what happens to the next call of this kind; while a script lasts, it decides for creates."""
        if call == "create" and self.script:
            return self.script.popleft()
        faults = self.settings.by_call.get(call)
        if not faults:
            return None
        point = self._rng[call].random()
        for fault in faults:
            if point < fault.rate:
                return fault
            point -= fault.rate
        return None

    def latency_seconds(self) -> float:
        if self.settings.latency_ms is None:
            return 0.0
        return self._rng["latency"].uniform(*self.settings.latency_ms) / 1000

    def staleness_seconds(self) -> float | None:
        """Return how old the state is that the next list shows, or None for the state of now."""
        stale = self.settings.stale_list
        if stale is None or self._rng[FAULT_OF_LIST].random() >= stale.rate:
            return None
        return stale.parameter

    @property
    def order_rng(self) -> random.Random:
        return self._rng["list_order"]
