"""Lists on a screen and in a pipe: header, alignment, width, colours, filters; and `-h` everywhere."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import typer
from rich.cells import cell_len

from billing.cli import main
from billing.cli.table import columns_of, print_table
from tests.support.business import Business

Printed = Callable[..., list[str]]
COLUMNS = columns_of(id="number", reference="text", amount="number", state="state", cause="text")
LONG = "catch-up: missed before the latest due period, over cycle.catch_up_limit"
ROWS = [("7", "ada", "5.00", "open", ""), ("11", "bob", "1200.50", "held", LONG)]


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Printed:
    """What `print_table` writes: into a pipe, or on a screen of so many columns."""

    def write(rows: list[tuple[str, ...]], screen: int = 0, **environ: str) -> list[str]:
        out = Screen() if screen else io.StringIO()
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((screen, 24)))
        for name in ("NO_COLOR", "TERM"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        print_table(COLUMNS, rows, "none")
        monkeypatch.undo()
        return out.getvalue().splitlines()

    return write


def test_a_pipe_gets_a_header_numbers_to_the_right_and_at_most_80_columns(printed: Printed) -> None:
    header, first, second = printed(ROWS)
    assert header.split() == ["id", "reference", "amount", "state", "cause"]
    assert first == " 7  ada           5.00  open"
    assert second.startswith("11  bob        1200.50  held   catch-up: missed before ")
    assert second.endswith("…")
    assert max(map(len, (header, first, second))) == 80


def test_a_wide_screen_cuts_nothing_and_a_narrow_one_never_a_number(printed: Printed) -> None:
    assert LONG in printed(ROWS, 200, NO_COLOR="1")[2]
    narrow = printed(ROWS, 44, NO_COLOR="1")
    assert max(map(len, narrow)) <= 44
    assert "1200.50" in narrow[2]


def test_states_are_coloured_on_a_screen_and_only_where_that_is_wanted(
    printed: Printed,
) -> None:
    assert "\x1b[33mheld" in printed(ROWS, 120)[2]
    for lines in (printed(ROWS), printed(ROWS, 120, NO_COLOR="1"), printed(ROWS, 120, TERM="dumb")):
        assert "\x1b" not in "".join(lines)


def test_what_would_move_the_cursor_is_not_printed(printed: Printed) -> None:
    _, row = printed([("1", "a\x1b[2Jb\n", "5.00", "open", "")], 120, NO_COLOR="1")
    assert "a�[2Jb�" in row


def test_wide_letters_count_as_two(printed: Printed) -> None:
    first, second = printed([("1", "漢字漢字漢", "5.00", "open", ""), ("2", "ab", "5.00", "open", "")])[1:]
    assert first.index("5.00") + 5 == second.index("5.00")


def test_a_screen_shows_two_hundred_and_a_pipe_all(printed: Printed) -> None:
    many = [(str(n), "ada", "5.00", "open", "") for n in range(250)]
    assert printed(many, 120)[-1] == "… and 50 more; use --json or a pipe to see all"
    assert len(printed(many)) == 251


def test_names_give_way_to_the_text_that_says_most(printed: Printed) -> None:
    _, row = printed([("1", "n" * 60, "5.00", "held", LONG)], 80, NO_COLOR="1")
    assert row.split()[1] == "n" * 15 + "…"
    assert len(row) == 80


def test_half_of_a_wide_letter_leaves_no_gap_before_the_dots(printed: Printed) -> None:
    _, row = printed([("1", "漢" * 30, "5.00", "held", LONG)], 80, NO_COLOR="1")
    assert row.startswith(" 1  " + "漢" * 7 + "…  ")


def test_without_rows_a_screen_says_so_and_a_pipe_is_empty(printed: Printed) -> None:
    assert printed([], 120, NO_COLOR="1") == ["none"]
    assert printed([]) == []


def test_lists_are_filtered_by_state_subscription_and_date(business: Business) -> None:
    business.subscribe(
        "ada,P,N,a@example.com,5,1 week,2026-02-01", "bob,P,N,b@example.com,7,1 month,2026-03-01"
    )
    business.run("2026-02-01")
    business.run("2026-03-01")

    def listed(*arguments: str) -> list[dict[str, object]]:
        found: list[dict[str, object]] = json.loads(business.billing(*arguments, "--json").stdout)
        return found

    def dues(*arguments: str) -> list[tuple[object, object]]:
        return [(p["subscription"], p["due_on"]) for p in listed("payments", "list", *arguments)]

    assert dues("--subscription", "bob") == [("bob", "2026-03-01")]
    assert dues("--state", "held", "--since", "2026-02-15") == [("ada", "2026-02-15")]
    assert dues("--cause", "catch-up") == [("ada", "2026-02-08"), ("ada", "2026-02-15")]
    assert dues("--cause", "paused") == []
    assert {n["subscription"] for n in listed("notices", "list", "--subscription", "bob")} == {"bob"}
    assert listed("notices", "list", "--since", "2099-01-01") == []
    next_due = listed("subscriptions", "list", "--since", "2026-03-09", "--state", "active")
    assert [s["reference"] for s in next_due] == ["bob"]
    for wrong in (
        ("payments", "list", "--subscription", "nobody"),
        ("payments", "list", "--since", "yesterday"),
        ("payments", "list", "--cause", "bad-luck"),
        ("payments", "list", "--cause", "paused", "--state", "open"),
        ("subscriptions", "list", "--state", "open"),
    ):
        assert business.billing(*wrong).returncode == 2, wrong

    lines = business.billing("payments", "list").stdout.splitlines()
    assert lines[0].split() == ["id", "subscription", "due_on", "amount", "state", "cause"]
    assert max(map(len, lines)) <= 80


def test_release_names_what_it_lets_go_and_takes_a_cause_or_a_subscription(business: Business) -> None:
    business.subscribe(
        "ada,P,N,a@example.com,5,1 week,2026-02-01", "bob,P,N,b@example.com,7,1 week,2026-02-01"
    )
    business.run("2026-03-01")  # of five periods each the latest and the one before are charged
    tried = business.billing("payments", "release", "--all-held", "--cause", "catch-up", "--dry-run")
    assert "6 payments would be released (36.00 USDC); nothing was changed" in tried.stdout
    assert business.billing("payments", "release", "--all-held", "--cause", "paused").stdout == (
        "no payments released: none was waiting\n"
    )
    one = business.billing("payments", "release", "--subscription", "bob").stdout
    assert one.count("bob") == 3
    assert "3 payments released (21.00 USDC); the next run sends them" in one
    held = [str(p["id"]) for p in business.payments() if p["state"] == "held"]
    assert "3 payments released (15.00 USDC)" in business.billing("payments", "release", *held).stdout
    for wrong in ((), ("1", "--all-held"), ("1", "--cause", "paused"), ("--cause", "paused")):
        assert business.billing("payments", "release", *wrong).returncode == 2, wrong


LONG_NAME = "a-customer-with-a-very-long-reference-from-the-far-north-00001"


def test_lists_fit_a_real_terminal_of_80_columns(business: Business) -> None:
    business.subscribe(
        f"{LONG_NAME},{'A plan of many words ' * 3},N,n@example.com,1234.123456,1 week,2026-02-01",
        "漢字の参照番号-長い-長い-長い-長い,P,N,c@example.com,5,1 month,2026-03-01",
    )
    business.run("2026-03-08")
    for command, whole in (
        ("subscriptions", " 1234.123456 "),
        ("payments", " 1234.123456  held "),
        ("notices", "  sent  "),
        ("events", "  payment 1 was held: catch-up: "),
    ):
        header, *rows = on_a_terminal(business, command, "list")
        assert max(map(cell_len, (header, *rows))) <= 80, command
        assert any(LONG_NAME[:7] in row and "…" in row and whole in row for row in rows), (command, rows)


def on_a_terminal(business: Business, *command: str, columns: int = 80) -> list[str]:
    """What a command writes on a terminal that is so wide, without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    given = {k: v for k, v in os.environ.items() if not k.startswith(("BILLING_", "MILESTON_", "COLUMNS"))}
    given |= {**business.environ, "BILLING_CONFIG": str(business.toml), "NO_COLOR": "1"}
    command_line = [sys.executable, "-m", "billing", *command]
    written = b""
    with subprocess.Popen(command_line, stdout=theirs, env=given, cwd=business.folder) as child:
        os.close(theirs)
        with suppress(OSError):  # how Linux says that the other end is closed
            while part := os.read(ours, 65536):
                written += part
        os.close(ours)
    assert child.returncode == 0
    return written.decode().replace("\r", "").splitlines()


def test_events_are_listed_in_words_of_one_subscription_and_from_a_day_on(business: Business) -> None:
    business.subscribe(
        "ada,P,N,a@example.com,5,1 month,2026-03-01", "bob,P,N,b@example.com,7,1 month,2026-03-01"
    )
    business.run("2026-03-01")
    business.billing("subscriptions", "pause", "bob", "--reason", "ill")
    header, *rows = business.billing("events", "list", "--subscription", "bob").stdout.splitlines()
    assert header.split() == ["at", "subscription", "event"]
    assert [row[20:].split(maxsplit=1)[0] for row in rows] == ["bob"] * len(rows)
    assert rows[1].endswith("payment 2 was planned, due 2026-03-01")
    assert "the subscription was paused: ill, by " in rows[-1]
    lines = json.loads(business.billing("events", "list", "--json").stdout)
    exported = business.billing("events", "export", "--format", "jsonl").stdout.splitlines()
    assert lines == [json.loads(line) for line in exported]
    assert json.loads(business.billing("events", "list", "--since", "2099-01-01", "--json").stdout) == []
    assert business.billing("events", "list", "--subscription", "nobody").returncode == 2


def every_command() -> Iterator[tuple[str, ...]]:
    """The words of each command, as the command line itself knows them."""

    def below(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield words
        for name, each in getattr(command, "commands", {}).items():
            yield from below(each, (*words, name))

    return below(typer.main.get_command(main.app), ())


@pytest.mark.parametrize("command", list(every_command()), ids=" ".join)
def test_h_is_help_of_every_command_and_fits_80_columns(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main.app([*command, "-h"], prog_name="billing")
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert said.lower().startswith(" ".join(("usage: billing", *command)))
    assert max(map(len, said.splitlines())) <= 80
