"""Compiled templates are shared by the process, and never by what differs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from jinja2 import DictLoader, Environment, nodes

from billing.mail.bytecode import CompiledOnce


class Counting(Environment):
    """An environment that says what it had to compile."""

    compiled: tuple[str, ...] = ()

    def _generate(
        self, source: nodes.Template, name: str | None, filename: str | None, defer_init: bool = False
    ) -> str:
        self.compiled += (name or "",)
        return super()._generate(source, name, filename, defer_init)


@pytest.fixture(autouse=True)
def nothing_compiled() -> Iterator[None]:
    CompiledOnce("").clear()
    yield
    CompiledOnce("").clear()


def environment(built_in: object = "en", **templates: str) -> Counting:
    return Counting(loader=DictLoader(templates), bytecode_cache=CompiledOnce(built_in))


def test_what_one_environment_compiled_the_next_one_uses() -> None:
    first, second = environment(a="one {{ x }}"), environment(a="one {{ x }}")
    assert first.get_template("a").render(x=1) == "one 1"
    assert second.get_template("a").render(x=2) == "one 2"
    assert (first.compiled, second.compiled) == (("a",), ())


@pytest.mark.parametrize(
    "other",
    [environment("de", a="one"), environment(("en", {"p": "red"}), a="one"), environment(a="two")],
    ids=["language", "styles", "source"],
)
def test_another_language_style_or_source_is_compiled_anew(other: Counting) -> None:
    environment(a="one").get_template("a")
    other.get_template("a")
    assert other.compiled == ("a",)


def test_a_name_of_its_own_is_compiled_anew() -> None:
    """Names decide whether values are escaped."""
    environment(a="one").get_template("a")
    other = environment(b="one")
    other.get_template("b")
    assert other.compiled == ("b",)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.mail.bytecode._MOST", 2)
    for text in ("1", "2", "3"):
        environment(a=text).get_template("a")
    assert len(CompiledOnce._codes) == 1
    assert environment(a="3").get_template("a").render() == "3"
