"""One reading of /metrics, by Prometheus's own parser, and the expressions of alerts and dashboards.

`holds` understands as much of PromQL as they use: selectors with matchers, `sum`, `max`, `min`,
`increase`, `changes`, `time()`, arithmetic, and one comparison. A counter's increase is taken between
two readings.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

_SELECTOR = re.compile(r"\b([a-z_]+)\b(?!\()(\{[^}]*\})?(\[[0-9a-z]+\])?")
_MATCHER = re.compile(r'(\w+)(=~|=)"([^"]*)"')
_FUNCTIONS = {"sum", "max", "min", "increase", "changes", "rate", "time", "by", "histogram_quantile"}


@dataclass(frozen=True)
class Scrape:
    samples: dict[tuple[str, tuple[tuple[str, str], ...]], float]
    at: float

    @classmethod
    def read(cls, text: str, at: float = 0.0, **more: float) -> Scrape:
        """`more` are samples that others than the program would bring, such as `up`."""
        samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }
        return cls(samples | {(name, ()): value for name, value in more.items()}, at)

    def select(self, name: str, matchers: str) -> list[float]:
        return [
            value
            for (found, labels), value in self.samples.items()
            if found == name and all(_fits(dict(labels), *m) for m in _MATCHER.findall(matchers))
        ]

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.samples}


def _fits(labels: dict[str, str], label: str, how: str, wanted: str) -> bool:
    given = labels.get(label, wanted if label == "job" else "")  # the job is Prometheus's own label
    return given == wanted if how == "=" else re.fullmatch(wanted, given) is not None


def names_in(expression: str) -> set[str]:
    """The metrics that an expression asks for."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|by \([^)]*\)|\"[^\"]*\"", "", expression)
    return set(re.findall(r"[a-z_]*[a-z][a-z_]*_[a-z_]+|\bup\b", bare)) - _FUNCTIONS


def holds(expression: str, now: Scrape, before: Scrape) -> bool:
    """Whether an alert's expression is true of two readings."""
    left, operator, right = re.fullmatch(r"(.*?) (==|>|<) ([0-9.]+)", expression).groups()  # type: ignore[union-attr]
    values = _value(left, now, before)
    compare: Callable[[float], bool] = {
        "==": lambda value: value == float(right),
        ">": lambda value: value > float(right),
        "<": lambda value: value < float(right),
    }[operator]
    return any(compare(value) for value in values)


class _Vector(list[float]):
    """Values with the arithmetic of the expressions: by value with a number, as one with another sum."""

    def __add__(self, other: object) -> _Vector:  # type: ignore[override]
        return _Vector(a + b for a, b in zip(self, _listed(other), strict=True))

    def __truediv__(self, other: object) -> _Vector:
        return _Vector(a / b for a, b in zip(self, _listed(other), strict=True) if b)

    def __rsub__(self, other: float) -> _Vector:
        return _Vector(other - value for value in self)


def _listed(other: object) -> list[float]:
    assert isinstance(other, list)
    return other


def _value(expression: str, now: Scrape, before: Scrape) -> _Vector:
    def selected(match: re.Match[str]) -> str:
        name, matchers, window = match.groups()
        return f"S({name!r}, {matchers or ''!r}, {bool(window)})"

    def select(name: str, matchers: str, both: bool) -> object:
        values = _Vector(now.select(name, matchers))
        return (values, _Vector(before.select(name, matchers))) if both else values

    def increase(pair: tuple[_Vector, _Vector]) -> _Vector:
        return _Vector(a - b for a, b in zip(*pair, strict=True))

    python = _SELECTOR.sub(selected, expression)
    functions = {
        "S": select,
        "sum": lambda values: _Vector([sum(values)]),
        "increase": increase,
        "changes": lambda pair: _Vector(float(a != b) * 4 for a, b in zip(*pair, strict=True)),
        "time": lambda: now.at,
        "__builtins__": {},
    }
    return _Vector(eval(python, functions))
