"""The manual page and docs/cli.md tell of every command and option that there is, and of no other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer

from billing import errors
from billing.cli import main
from billing.cli.man import EXIT_CODES, commands_below, page, parameters, usage
from billing.sandbox.__main__ import _parser
from tests.support.business import Business

ROOT = typer.Context(typer.main.get_command(main.app), info_name="billing")
COMMANDS = {context.command_path: context for context in commands_below(ROOT)}
DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "cli.md").read_text("utf-8")
EVERYWHERE = {"--config", "--json", "--help"}


def flags(text: str) -> set[str]:
    return set(re.findall(r"--[a-z][a-z-]*", text))


def flags_of(path: str) -> set[str]:
    """The long options of a command, but for those that all have."""
    if path == "billing sandbox serve":  # it hands its words on
        written = " ".join(string for action in _parser("x")._actions for string in action.option_strings)
    else:
        written = " ".join(names for names, _ in parameters(COMMANDS[path]))
    return flags(written) - EVERYWHERE


def section(heading: str) -> str:
    return TEXT.partition(f"{heading}\n")[2].partition("\n#")[0]


def test_the_page_has_a_section_for_each_command_and_for_no_other() -> None:
    assert sorted(re.findall(r"^### `(.+)`$", TEXT, re.M)) == sorted(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS)
def test_a_section_lists_the_options_of_its_command_and_its_usage(path: str) -> None:
    told = section(f"### `{path}`")
    rows = [line for line in told.splitlines() if line.startswith("| `--")]
    assert set().union(*(flags(row.split(" | ")[0]) for row in rows)) == flags_of(path)
    if [name for name, _ in parameters(COMMANDS[path]) if not name.startswith(("--config", "--json"))]:
        assert f"| `{usage(COMMANDS[path])}` | |" in told


def test_what_all_have_is_told_once() -> None:
    told = flags(section("## Options of all")) | flags(section("## Completion"))
    assert told == EVERYWHERE | flags(" ".join(names for names, _ in parameters(ROOT)))
    without = {path for path, at in COMMANDS.items() if "--config" not in flags(str(list(parameters(at))))}
    assert without == {"billing man", "billing sandbox serve"}


def test_every_exit_code_is_told() -> None:
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", section("## Exit codes"), re.M)}
    raised = {
        each.exit_code
        for each in vars(errors).values()
        if isinstance(each, type) and issubclass(each, errors.BillingError)
    }
    assert told == set(EXIT_CODES)
    assert raised <= told


def test_every_command_with_json_says_what_it_holds() -> None:
    told = re.findall(r"`([^`]+)`", " ".join(re.findall(r"^\| (.+?) \|", section("## JSON"), re.M)))
    with_json = {p for p, at in COMMANDS.items() if any(n.startswith("--json") for n, _ in parameters(at))}
    assert {f"billing {command}" for command in told} - {"billing run-once --dry-run"} == with_json


def test_the_fields_are_those_of_the_documents(business: Business) -> None:
    business.subscribe("ada,P,N,a@example.com,5,1 month,2026-03-01")
    business.run("2026-03-01")
    for command in (
        "status",
        "doctor",
        "explain ada",
        "subscriptions list",
        "payments list",
        "notices list",
        "notices preview 1",
        "events list",
        "templates check",
        "run-once",
        "backup copy.db",
    ):
        words = command.split()
        document: Any = json.loads(business.billing(*words, "--json").stdout)
        row = document[0] if isinstance(document, list) else document
        name = " ".join(word for word in words if word not in ("ada", "1", "copy.db"))
        told = re.search(rf"^\| [^|]*`{name}`[^|]*\| (.+) \|$", section("## JSON"), re.M)
        assert told is not None, name
        outer = re.sub(r"\([^)]*\)", "", told[1])
        assert re.findall(r"`(\w+)`", outer) == list(row), name


def test_the_manual_page_has_every_command_and_option() -> None:
    lines = page(ROOT).replace("\\-", "-").splitlines()
    for path, context in COMMANDS.items():
        start = lines.index(f'.SS "{usage(context)}"')
        below = next(n for n, line in enumerate(lines[start + 1 :], start + 1) if line.startswith(".S"))
        told = flags(" ".join(line for line in lines[start:below] if line.startswith(".B")))
        assert told - EVERYWHERE == (flags_of(path) if path != "billing sandbox serve" else set())


def test_the_manual_page_holds_no_command_of_roff_but_ours() -> None:
    macros = {line.split()[0] for line in page(ROOT).splitlines() if line[:1] in (".", "'")}
    assert macros == {".TH", ".SH", ".SS", ".TP", ".B"}
    assert page(ROOT).isascii()


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_groff_reads_the_manual_page_without_a_warning() -> None:
    done = subprocess.run(
        ["groff", "-man", "-ww", "-z"], input=page(ROOT), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_man_prints_the_page_without_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main.app(["man"], prog_name="billing")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(".TH BILLING 1 ")
