"""Lists on a screen and in a pipe: header, alignment, width, colours, filters; and `-h` everywhere."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Callable

import pytest

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


@pytest.mark.parametrize("command", [(), ("payments",), ("payments", "list"), ("run-once",), ("status",)])
def test_h_is_help(business: Business, command: tuple[str, ...]) -> None:
    done = business.billing(*command, "-h")
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: billing")
