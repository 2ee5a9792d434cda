"""What every command shares: its options, its output, and how an error leaves the program."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from billing.app.runtime import Database
    from billing.config import Config

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="The config file (default: $BILLING_CONFIG, else ./config.toml)"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, nothing else.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; stored in the event log.")]


def parse_date(text: str) -> date:
    """A date option's value. Raises typer's usage error."""
    try:
        if len(text) != 10:
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date; write YYYY-MM-DD") from None


def read_config(path: Path | None) -> Config:
    from billing.app.logs import set_up
    from billing.config import load_config

    config = load_config(path)
    set_up(config)
    return config


@contextmanager
def store(path: Path | None) -> Iterator[tuple[Config, Database]]:
    """The configuration and the open database of a command."""
    from billing.app.runtime import open_store

    config = read_config(path)
    with open_store(config) as db:
        yield config, db


def say(message: str) -> None:
    """A message to the person, on stderr."""
    print(message, file=sys.stderr)


def print_json(document: Any) -> None:
    json.dump(document, sys.stdout, ensure_ascii=False, indent=None if not sys.stdout.isatty() else 2)
    sys.stdout.write("\n")


def print_json_array(items: Iterable[Any]) -> None:
    """An array of any length, written item by item."""
    sys.stdout.write("[")
    for i, item in enumerate(items):
        sys.stdout.write(("" if i == 0 else ",") + "\n" + json.dumps(item, ensure_ascii=False))
    sys.stdout.write("\n]\n")


S = TypeVar("S", bound=StrEnum)


def one_of(states: type[S], given: str | None, what: str) -> S | None:
    """A state option's value. Raises typer's usage error with those that there are."""
    if given is None:
        return None
    if given not in states.__members__.values():
        raise typer.BadParameter(f"{given!r} is not a {what}; use one of {', '.join(states)}")
    return states(given)


def complete_reference(incomplete: str) -> list[str]:
    """References for the shell's completion; nothing when there is no database yet."""
    from billing.app.documents import references_like
    from billing.config import load_config
    from billing.errors import BillingError

    try:
        return references_like(load_config(), incomplete, 50)
    except BillingError:
        return []


ReferenceArgument = Annotated[
    str,
    typer.Argument(metavar="REF", help="The subscription's reference.", autocompletion=complete_reference),
]
SubscriptionOption = Annotated[
    str | None,
    typer.Option(
        "--subscription", metavar="REF", help="Only of this subscription.", autocompletion=complete_reference
    ),
]
