"""`billing man`: the manual page, made from the commands as they are, so that it can't lag behind them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

import typer

from billing import __version__

EXIT_CODES = {
    0: "All is well.",
    1: "Something needs attention: `billing status` tells what. Of other commands: it could not be done.",
    2: "Wrong usage, or nothing of that name; nothing was done.",
    75: "Another cycle is running on this database; nothing was done.",
    78: "The configuration is wrong; every fault is named.",
}
_VALUES = {"str": "TEXT", "int": "N", "path": "PATH"}
_ENVIRONMENT = {
    "BILLING_CONFIG": "The config file.",
    "BILLING_SECTION__KEY": "Any setting, such as BILLING_MAIL__TRANSPORT; it goes before the file.",
    "MILESTON_API_KEY, MILESTON_BUSINESS_ID, BILLING_SMTP_PASSWORD": (
        "The secrets. With _FILE after the name, the file that holds one."
    ),
    "NO_COLOR": "If it is set, lists have no colours.",
}


def register(app: typer.Typer) -> None:
    app.command("man")(man)


def man(context: typer.Context) -> None:
    """Print the manual page: pipe it into `man -l -`, or save it as man1/billing.1."""
    print(page(cast("typer.Context", context.find_root())))


def commands_below(context: typer.Context) -> Iterator[typer.Context]:
    """Each command that does something, in the order of the help, with its context."""
    for name, command in getattr(context.command, "commands", {}).items():
        inner = typer.Context(command, info_name=name, parent=context)
        if hasattr(command, "commands"):
            yield from commands_below(inner)
        else:
            yield inner


def usage(context: typer.Context) -> str:
    """`billing payments show [OPTIONS] ID`."""
    pieces = " ".join(context.command.collect_usage_pieces(context))
    return f"{context.command_path} {pieces}".replace("{", "").replace("}", "")


def parameters(context: typer.Context) -> Iterator[tuple[str, str]]:
    """How each option and argument is written, and what it does; but not --help."""
    for parameter in context.command.params:
        told: tuple[str, str] | None = parameter.get_help_record(context)
        if told is not None:
            yield _written(told[0]), told[1]


def _written(name: str) -> str:
    """`--reason TEXT` for `--reason <str>`; an argument's name says what it is."""
    name, _, kind = re.sub(r" <(str|int|path|list\[int\])>$", r"\0\1", name).partition("\0")
    return f"{name} {_VALUES[kind]}" if kind in _VALUES and name.startswith("-") else name


def page(root: typer.Context) -> str:
    """The page in the man macros of roff."""
    lines = [
        f'.TH BILLING 1 "" "billing {__version__}" "User Commands"',
        *_section("NAME", f"billing - {_plain(root)[0].lower()}{_plain(root)[1:].rstrip('.')}"),
        *_section("SYNOPSIS", "billing COMMAND [OPTIONS] [ARGUMENTS]"),
        *_section("DESCRIPTION", "-h after any command tells its options."),
        ".SH COMMANDS",
    ]
    for context in commands_below(root):
        lines += [f'.SS "{_roff(usage(context))}"', _text(_plain(context))]
        lines += _listed(dict(parameters(context)))
    lines += [".SH OPTIONS", *_listed(dict(parameters(root)))]
    lines += [".SH EXIT STATUS", *_listed({str(code): what for code, what in EXIT_CODES.items()})]
    lines += [".SH ENVIRONMENT", *_listed(_ENVIRONMENT)]
    lines += _section(
        "FILES", "config.toml in the current folder, unless --config or BILLING_CONFIG says another."
    )
    return "\n".join(lines)


def _plain(context: typer.Context) -> str:
    return " ".join((context.command.help or "").split())


def _section(title: str, text: str) -> Iterator[str]:
    yield from (f".SH {title}", _text(text))


def _listed(items: dict[str, Any]) -> Iterator[str]:
    for what, text in items.items():
        yield from (".TP", f".B {_roff(what)}", _text(text))


def _roff(text: str) -> str:
    """Text in which roff reads no command of its own, in ASCII."""
    plain = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return "".join(letter if letter.isascii() else f"\\[u{ord(letter):04X}]" for letter in plain)


def _text(text: str) -> str:
    """A line of running text; at its beginning a dot or an apostrophe would be a command."""
    return f"\\&{_roff(text)}"
