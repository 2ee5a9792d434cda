"""`billing run-once` as people, pipes and cron see it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.business import Business
from tests.support.nursery import ROOT, Finished, the_nursery

KEYS = {"run_id", "as_of", "outcome", "payments", "settlement", "notices", "amount_created", "seconds"}
PAYMENTS = {"due", "created", "adopted", "not_sent", "rejected", "unknown", "held"}


def _fresh_clone(folder: Path, *arguments: str) -> Finished:
    """The command in a folder that holds nothing but the shipped config and templates."""
    if not (folder / "config.toml").exists():
        (folder / "config.toml").write_text((ROOT / "config.toml").read_text())
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("BILLING_", "MILESTON_"))}
    environ["BILLING_MAIL__TEMPLATES_DIR"] = str(ROOT / "templates")
    child = the_nursery().start(arguments, environ, folder)
    return Finished(child.wait(120), child.out, child.err)


def test_out_of_the_box_it_bills_the_examples_and_a_second_run_bills_nobody(tmp_path: Path) -> None:
    first = _fresh_clone(tmp_path, "run-once")
    mails = {path.name for path in (tmp_path / "var" / "outbox").glob("*.eml")}
    second = _fresh_clone(tmp_path, "run-once", "--json")

    assert first.returncode == 0, first.stderr
    assert "created  (930.150001 USDC)" in first.stdout
    assert len(mails) == 12
    assert "\x1b" not in first.stdout
    assert second.returncode == 0
    assert json.loads(second.stdout)["payments"] == dict.fromkeys(PAYMENTS, 0)
    assert {path.name for path in (tmp_path / "var" / "outbox").glob("*.eml")} == mails


def test_a_dry_run_says_what_would_happen_and_leaves_no_trace(tmp_path: Path) -> None:
    before = {"config.toml"}
    told = _fresh_clone(tmp_path, "run-once", "--dry-run", "--json")
    plain = _fresh_clone(tmp_path, "run-once", "--dry-run")

    document = json.loads(told.stdout)
    assert document["payments"]["due"] == len(document["would_create"]) == 8
    assert len(document["would_mail"]) == 12
    assert {"subscription": "acme-team"}.items() <= document["would_create"][3].items()
    assert "Nothing was changed." in plain.stdout
    assert {path.name for path in tmp_path.iterdir()} == before


def test_json_is_one_document_with_the_keys_of_the_contract(business: Business) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-03-01")
    done = business.billing("run-once", "--json", "--as-of", "2026-03-01")

    document = json.loads(done.stdout)
    assert document.keys() >= KEYS
    assert document["payments"].keys() == PAYMENTS
    assert document["settlement"].keys() == {"checked", "paid"}
    assert document["notices"].keys() == {"queued", "sent", "failed", "held"}
    assert (document["as_of"], document["outcome"]) == ("2026-03-01", "ok")
    assert document["amount_created"] == "19.90"
    assert (done.returncode, done.stderr) == (0, "")


def test_quiet_is_silent_when_all_is_well_and_speaks_on_stderr_when_not(business: Business) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,5,1 week,2026-02-01")
    well = business.billing("run-once", "--quiet", "--as-of", "2026-02-01")
    held = business.billing("run-once", "--quiet", "--as-of", "2026-03-01")

    assert (well.returncode, well.stdout, well.stderr) == (0, "", "")
    assert (held.returncode, held.stdout) == (1, "")
    assert "held (safety limit, catch-up or paused)" in held.stderr


@pytest.mark.parametrize("text", ["tomorrow", "2026-13-01", "20260301", "2026-3-1"])
def test_a_bad_date_is_a_usage_error(business: Business, text: str) -> None:
    done = business.billing("run-once", "--as-of", text)
    assert done.returncode == 2
    assert "YYYY-MM-DD" in done.stderr


def test_a_future_date_is_refused_in_the_live_environment(business: Business) -> None:
    done = business.billing(
        "run-once",
        "--as-of",
        "2999-01-01",
        BILLING_MILESTON__ENVIRONMENT="live",
        BILLING_RECONCILE__QUIET_SECONDS="120",
        BILLING_MILESTON__RECURRING_PAYMENT_URL="",
        MILESTON_API_KEY="a-live-key",
    )
    assert done.returncode == 2
    assert "future" in done.stderr
    assert not (business.folder / "var").exists()


def test_a_wrong_configuration_exits_78_with_every_fault(business: Business) -> None:
    done = business.billing(
        "run-once",
        BILLING_CYCLE__CONCURRENCY="many",
        BILLING_CYCLE__CONCURENCY="3",
        BILLING_MAIL__TRANSPORT="fax",
    )
    assert done.returncode == 78
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert any("did you mean BILLING_CYCLE__CONCURRENCY?" in line for line in lines)
    assert any("mail.transport" in line and "'file', 'smtp' or 'console'" in line for line in lines)
    assert done.stdout == ""


def test_a_pipe_that_closes_early_is_no_error(business: Business) -> None:
    business.subscribe(*(f"s{i},P,N,s{i}@example.com,5,1 month,2026-03-01" for i in range(3000)))
    command = f"{sys.executable} -m billing subscriptions list | head -n 1"
    environ = {**os.environ, **business.environ, "BILLING_CONFIG": str(business.toml)}
    done = subprocess.run(["bash", "-c", command], env=environ, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["reference", "plan", "amount", "interval", "status", "next_due_on"]
