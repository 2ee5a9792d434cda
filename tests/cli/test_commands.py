"""The other commands: what they print, and how they refuse."""

from __future__ import annotations

import json
import os

import pytest

from tests.support.business import Business
from tests.support.nursery import ROOT

EXAMPLES = (ROOT / "examples" / "subscriptions.csv").read_text()


@pytest.fixture
def billed(business: Business) -> Business:
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2026-03-01")
    business.run("2026-03-01")
    return business


def test_the_example_file_imports_and_imports_again_unchanged(business: Business) -> None:
    file = str(ROOT / "examples" / "subscriptions.csv")
    dry = business.billing("subscriptions", "import", file, "--dry-run", "--json")
    listed = json.loads(business.billing("subscriptions", "list", "--json").stdout)
    first = business.billing("subscriptions", "import", file, "--json")
    second = business.billing("subscriptions", "import", file, "--json")

    count = len(EXAMPLES.splitlines()) - 1
    assert json.loads(dry.stdout)["added"] == count
    assert listed == []
    assert json.loads(first.stdout)["added"] == count
    assert json.loads(second.stdout)["unchanged"] == count


def test_a_bad_file_is_refused_whole_with_line_column_and_reason(business: Business) -> None:
    file = business.folder / "bad.csv"
    file.write_text(
        "reference,plan,name,email,amount,interval,starts_on\n"
        "ok,P,N,ok@example.com,5,1 month,2026-03-01\n"
        "bad,P,N,nobody,-5,fortnight,2026-02-30\n"
    )
    done = business.billing("subscriptions", "import", str(file))

    assert done.returncode == 1
    for part in ("line 3, column email", "line 3, column amount", "line 3, column interval", "starts_on"):
        assert part in done.stderr
    assert json.loads(business.billing("subscriptions", "list", "--json").stdout) == []


@pytest.mark.parametrize("command", ["show", "pause", "resume", "cancel"])
def test_an_unknown_reference_exits_2_with_the_nearest(billed: Business, command: str) -> None:
    done = billed.billing("subscriptions", command, "adaa")
    assert done.returncode == 2
    assert "the nearest are: ada" in done.stderr


def test_payments_list_is_the_array_of_the_contract(billed: Business) -> None:
    (payment,) = json.loads(billed.billing("payments", "list", "--json").stdout)
    (record,) = billed.remote()
    contract = ("id", "subscription", "due_on", "amount", "state", "remote_id", "marker", "attempts")
    assert {key: payment[key] for key in contract} == {
        "id": payment["id"],
        "subscription": "ada",
        "due_on": "2026-03-01",
        "amount": "19.90",
        "state": "open",
        "remote_id": record["id"],
        "marker": record["data"]["subscriptionName"].partition("] ")[0].lstrip("["),
        "attempts": 1,
    }


def test_payments_are_filtered_by_state_and_an_unknown_state_is_refused(billed: Business) -> None:
    assert json.loads(billed.billing("payments", "list", "--state", "paid", "--json").stdout) == []
    refused = billed.billing("payments", "list", "--state", "lost")
    assert refused.returncode == 2
    assert "uncollectible" in refused.stderr


def test_payments_show_tells_the_attempts_and_the_history(billed: Business) -> None:
    whole = json.loads(billed.billing("payments", "show", "1", "--json").stdout)
    assert [attempt["outcome"] for attempt in whole["attempt_log"]] == ["created"]
    assert [event["action"] for event in whole["events"]] == ["planned", "created"]
    assert billed.billing("payments", "show", "99").returncode == 2


def test_notices_list_is_the_array_of_the_contract_and_preview_shows_the_mail(billed: Business) -> None:
    (notice,) = json.loads(billed.billing("notices", "list", "--json").stdout)
    (mail,) = billed.mails()
    assert notice["to"] == "ada@example.com"
    assert notice["state"] == "sent"
    assert notice["dedupe_key"] == "payment_created.ada.2026-03-01"
    assert (notice["subject"], notice["message_id"]) == (mail["Subject"], mail["Message-ID"])

    preview = json.loads(billed.billing("notices", "preview", str(notice["id"]), "--json").stdout)
    assert preview["message_id"] == notice["message_id"]
    assert "19.90" in preview["text"]


def test_a_notice_is_sent_again_with_the_same_message_id(billed: Business) -> None:
    (before,) = billed.mails()
    file = billed.folder / "var" / "outbox" / "payment_created.ada.2026-03-01.eml"
    file.unlink()
    assert billed.billing("notices", "resend", "1").returncode == 0
    billed.run("2026-03-01")

    (after,) = billed.mails()
    assert after["Message-ID"] == before["Message-ID"]
    assert after["Date"] == before["Date"]


def test_all_failed_notices_are_sent_again_by_one_command(billed: Business) -> None:
    done = billed.billing("notices", "resend", "--all", "failed")
    assert (done.returncode, done.stdout) == (0, "0 notices are queued\n")
    for wrong in (("1", "--all", "failed"), (), ("--all", "sent")):
        assert billed.billing("notices", "resend", *wrong).returncode == 2


def test_a_subscription_that_ends_with_its_period_shows_no_next_payment(business: Business) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,19.90,1 month,2099-03-01")
    business.billing("subscriptions", "cancel", "ada", "--at-period-end")
    (shown,) = json.loads(business.billing("subscriptions", "list", "--json").stdout)
    assert (shown["status"], shown["cancel_on"], shown["next_due_on"]) == ("active", "2099-03-01", None)


def test_status_tells_what_needs_a_person_and_what_comes_next(billed: Business) -> None:
    billed.subscribe("wk,P,N,w@example.com,5,1 week,2099-01-01")
    document = json.loads(billed.billing("status", "--json").stdout)
    assert document["last_run"]["outcome"] == "ok"
    assert document["payments"]["open"] == {"count": 1, "amount": "19.90"}
    assert set(document["upcoming"]) == {"today", "7_days", "30_days"}


def test_config_show_masks_secrets_and_names_origins(business: Business) -> None:
    done = business.billing(
        "config",
        "show",
        "--json",
        MILESTON_API_KEY="sk-very-secret",
        BILLING_DATABASE__URL="postgresql://me:hunter2@db/billing",
    )
    document = json.loads(done.stdout)
    assert "sk-very-secret" not in done.stdout + done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    assert document["MILESTON_API_KEY"] == {"value": "****", "origin": "environment MILESTON_API_KEY"}
    assert document["cycle.concurrency"]["origin"] == "default"
    assert document["mileston.recurring_payment_url"]["origin"].startswith("environment BILLING_")


def test_the_sandbox_is_served_by_the_command_line_too(business: Business) -> None:
    help_text = business.billing("sandbox", "serve", "--help")
    refused = business.billing("sandbox", "serve", "--fault", "cut_aftr_commit=0.1")
    assert help_text.returncode == 0
    assert "--fault" in help_text.stdout
    assert refused.returncode == 2
    assert "cut_after_commit" in refused.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_shell_completion_knows_commands_and_references(billed: Business, shell: str) -> None:
    environ = {"_BILLING_COMPLETE": f"complete_{shell}"}
    words = "billing subscriptions show a"
    done = billed.billing(
        **environ, COMP_WORDS=words, COMP_CWORD="3", _TYPER_COMPLETE_ARGS=words, PATH=os.environ["PATH"]
    )
    assert "ada" in done.stdout
