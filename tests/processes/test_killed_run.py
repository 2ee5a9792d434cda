"""A test run that is killed with SIGKILL leaves no process and no folder behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.nursery import ROOT
from tests.support.waiting import until
from tests.support.watchdog import watch

# What a run of pytest has open at its fullest: a sandbox, another one that is frozen, processes of the
# program with a sandbox of their own, a database server, and mail servers.
_A_RUN = """
import json, os, sys, tempfile, time
from contextlib import ExitStack
from pathlib import Path
from tests.campaigns.mail.servers import Aiosmtpd
from tests.support.databases import postgresql_server
from tests.support.folders import quick_folder
from tests.support.nursery import Nursery
from tests.support.postfix import Postfix, why_no_mta
from tests.support.sandbox import Sandbox

with ExitStack() as stack:
    folder = stack.enter_context(quick_folder())
    Sandbox(folder / "records.jsonl")
    Sandbox(folder / "others.jsonl").freeze()
    stack.enter_context(postgresql_server())
    Aiosmtpd(1)
    if not why_no_mta():
        stack.enter_context(Postfix())
    environ = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
    environ["BILLING_WATCH__LISTEN"] = "127.0.0.1:0"
    (folder / "config.toml").touch()
    nursery = stack.enter_context(Nursery())
    child = nursery.start(["daemon", "--config", str(folder / "config.toml")], environ, folder)
    while not child.has_said("cycle"):
        time.sleep(0.05)
    print(json.dumps({"folder": str(folder)}), flush=True)
    time.sleep(600)
"""


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for temporary files that mail and database servers, which are other users, may enter."""
    with tempfile.TemporaryDirectory(prefix="killed-run-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def of_run(pid: int, temporary: Path) -> dict[int, str]:
    """What runs because of a run: its descendants, and whatever works in its folders; not the run itself."""
    marks = (str(temporary), f"billing-tests-{pid}-")
    commands, parents, found = {}, {}, set()
    for path in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            other = int(path.name)
            state, parent, *_ = (path / "stat").read_text().rpartition(")")[2].split()
            if state != "Z":
                parents[other] = int(parent)
                commands[other] = (path / "cmdline").read_text().replace("\0", " ")
                if any(mark in f"{commands[other]} {os.readlink(path / 'cwd')}" for mark in marks):
                    found.add(other)
    for other in parents:
        above = other
        while above and above != pid:
            above = parents.get(above, 0)
        if above == pid:
            found.add(other)
    return {other: commands[other] for other in found - {pid}}


def test_whatever_it_had_started_ends_and_its_folders_are_removed(temporary: Path) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", _A_RUN],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temporary)},
        cwd=ROOT,
        text=True,
    )
    watch(run.pid)
    assert run.stdout is not None
    folder = Path(json.loads(run.stdout.readline())["folder"])
    before = of_run(run.pid, temporary)
    servers = (2, "billing.sandbox"), (1, "postgres"), (1, "campaigns.mail.accepting"), (2, "nursery")

    assert all(sum(name in it for it in before.values()) >= least for least, name in servers), before
    run.kill()
    run.communicate()

    until("all of it has ended", lambda: not of_run(run.pid, temporary))
    until("its folders are gone", lambda: not folder.exists())
    assert not list(temporary.glob("mta-*"))
