"""The files of docs/deploy: systemd's own tools read the units, and what they say fits the program."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from billing.daemon.liveness import LONGEST_SILENCE_SECONDS
from billing.daemon.signals import GRACE_SECONDS
from billing.errors import AlreadyRunning, ConfigError
from tests.support.nursery import ROOT

DEPLOY = ROOT / "docs" / "deploy"
UNITS = ("billing.service", "billing-cycle.service", "billing-cycle.timer")
_LEAST_EXPOSED = 15  # of 100; systemd calls 20 well protected

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")


def unit(name: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / name)
    return parser


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units, with a program that exists on this machine."""
    program = tmp_path / "billing"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for name in UNITS:
        text = (DEPLOY / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/billing/.venv/bin/billing", str(program)))
    return tmp_path


@needs_systemd
def test_systemd_finds_no_fault_in_the_units(installed: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(installed / name) for name in UNITS)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("name", UNITS[:2])
def test_systemd_calls_the_services_well_protected(name: str) -> None:
    done = subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--offline=true",
            "--no-pager",
            f"--threshold={_LEAST_EXPOSED}",
            str(DEPLOY / name),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout


@needs_systemd
def test_the_timer_comes_every_ten_minutes_in_utc() -> None:
    calendar = unit("billing-cycle.timer")["Timer"]["OnCalendar"]
    done = subprocess.run(
        ["systemd-analyze", "calendar", calendar], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert calendar.endswith("UTC")


def seconds(text: str) -> float:
    number, word = re.fullmatch(r"(\d+)(s|min)", text).groups()  # type: ignore[union-attr]
    return int(number) * {"s": 1, "min": 60}[word]


def test_what_the_units_say_fits_what_the_program_does() -> None:
    service = unit("billing.service")["Service"]
    cycle = unit("billing-cycle.service")["Service"]

    assert seconds(service["WatchdogSec"]) == LONGEST_SILENCE_SECONDS
    assert GRACE_SECONDS < 30 < seconds(service["TimeoutStopSec"])
    assert service["Type"] == "notify"
    assert service["RestartPreventExitStatus"] == str(ConfigError.exit_code)
    assert cycle["SuccessExitStatus"] == str(AlreadyRunning.exit_code)
    assert "run-once --quiet" in cycle["ExecStart"]
    for each in (service, cycle):
        assert each["User"] == "billing"
        assert "LoadCredential" in each


def test_the_container_runs_as_a_user_without_rights_and_copies_what_exists() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    users = re.findall(r"^USER (\S+)", text, re.MULTILINE)
    assert users == ["10001:10001"]
    sources = [
        word for line in re.findall(r"^COPY (?!--)(.*) \S+$", text, re.MULTILINE) for word in line.split()
    ]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert "/healthz" in text


def test_the_crontab_line_is_one() -> None:
    lines = [line for line in (DEPLOY / "crontab").read_text().splitlines() if line and line[0] not in "#M"]
    (schedule,) = [line for line in lines if line.startswith("*")]
    assert re.match(r"\*/10( \*){4} billing \S+/billing run-once --quiet$", schedule)


def test_the_container_leaves_it_to_the_builder_where_images_come_from() -> None:
    images = re.findall(r"^FROM (\S+)", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)
    assert images
    assert not any("/" in image for image in images)
