"""What people say about payments of unknown fate, and what the program does on its own about them."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.installation import Installation, subscription
from tests.support.sandbox import Sandbox

DAY = "2026-01-05"
Install = Callable[..., Installation]


def _one(install: Install, **settings: object) -> Installation:
    billing = install(reconcile__quiet_seconds=0.2, **settings)
    billing.subscribe([subscription("ada", DAY)])
    return billing


def _until_parked(billing: Installation) -> None:
    for _ in range(50):
        billing.run(DAY)
        if billing.payment("ada")["state"] == "parked":
            return
    raise AssertionError(billing.payment("ada"))


def _reasons(billing: Installation, payment_id: str) -> list[tuple[str, str]]:
    """(action, detail) of the payment's events that people caused."""
    shown = billing.billing("payments", "show", payment_id, "--json").document
    return [(e["action"], e["detail"]) for e in shown["events"] if e["actor"] == "person:tester"]


def test_where_so_configured_an_absent_payment_waits_for_a_person(install: Install, sandbox: Sandbox) -> None:
    billing = _one(install, reconcile__when_absent="park")
    sandbox.script("cut_before_commit")

    _until_parked(billing)
    answer = billing.run(DAY)

    assert (answer["payments"]["created"], answer["exit_code"]) == (0, 1)
    assert sandbox.charges() == []
    payment_id = str(billing.payment("ada")["id"])
    resolved = billing.billing("payments", "resolve", payment_id, "--absent", "--reason", "asked Mileston")
    assert resolved.code == 0, resolved.err
    assert ("resolved", "asked Mileston") in _reasons(billing, payment_id)
    assert billing.run(DAY)["payments"]["created"] == 1
    assert sandbox.charges() == [("ada@example.com", DAY)]


def test_a_parked_payment_is_released_by_a_person(install: Install, sandbox: Sandbox) -> None:
    billing = _one(install, reconcile__when_absent="park")
    sandbox.script("cut_before_commit")
    _until_parked(billing)
    payment_id = str(billing.payment("ada")["id"])

    assert billing.billing("payments", "release", payment_id, "--reason", "go on").code == 0

    assert ("released", "go on") in _reasons(billing, payment_id)
    assert billing.run(DAY)["payments"]["created"] == 1


def test_a_person_names_the_remote_payment_of_an_unknown_one(install: Install, sandbox: Sandbox) -> None:
    billing = install(reconcile__quiet_seconds=3600)
    billing.subscribe([subscription("ada", DAY), subscription("bob", DAY)])
    sandbox.script("cut_after_commit", "ok")
    billing.run(DAY)
    (unknown,) = billing.payments("unknown")
    own, other = _ids(sandbox, unknown["subscription"])

    refused = billing.billing("payments", "resolve", str(unknown["id"]), "--remote-id", other)
    missing = billing.billing("payments", "resolve", str(unknown["id"]), "--remote-id", "no-such-id")
    assert (refused.code, missing.code) == (2, 2)
    assert billing.payments("unknown"), "a wrong id changes nothing"
    resolved = billing.billing(
        "payments", "resolve", str(unknown["id"]), "--remote-id", own, "--reason", "seen in the dashboard"
    )

    assert resolved.code == 0, resolved.err
    assert billing.payment(unknown["subscription"])["remote_id"] == own
    assert billing.states() == {"open": 2}
    assert ("resolved", "seen in the dashboard") in _reasons(billing, str(unknown["id"]))


def _ids(sandbox: Sandbox, reference: str) -> tuple[str, str]:
    """The id of the only record of a subscription, and that of the only other record."""
    email = f"{reference}@example.com"
    (own,) = (r["id"] for r in sandbox.live() if r["data"]["subscriberEmail"] == email)
    (other,) = (r["id"] for r in sandbox.live() if r["data"]["subscriberEmail"] != email)
    return own, other


def test_reconcile_looks_up_and_does_nothing_else(install: Install, sandbox: Sandbox) -> None:
    billing = _one(install)
    sandbox.script("cut_after_commit")
    billing.run(DAY)
    billing.subscribe([subscription("bob", DAY)])

    looked = billing.billing("reconcile", "--json")

    assert looked.code == 0, looked.err
    assert looked.document["payments"]["adopted"] == looked.document["payments"]["due"] == 1
    assert billing.payment("ada")["state"] == "open"
    assert sandbox.calls("create") == 1, "the other one is due and was left alone"


def test_a_voided_payment_is_deleted_at_the_api_and_never_charged_again(
    install: Install, sandbox: Sandbox
) -> None:
    billing = _one(install)
    billing.run(DAY)
    payment_id = str(billing.payment("ada")["id"])

    voided = billing.billing("payments", "void", payment_id, "--reason", "agreed by telephone")
    answer = billing.run(DAY)

    assert voided.code == 0, voided.err
    assert billing.states() == {"void": 1}
    assert sandbox.charges() == []
    assert answer["payments"]["due"] == 0
    assert ("void", "agreed by telephone") in _reasons(billing, payment_id)


def test_a_payment_of_unknown_fate_can_t_be_voided(install: Install, sandbox: Sandbox) -> None:
    billing = _one(install)
    sandbox.script("cut_after_commit")
    billing.run(DAY)

    voided = billing.billing("payments", "void", str(billing.payment("ada")["id"]), "--reason", "no")

    assert voided.code == 2
    assert billing.states() == {"unknown": 1}


def test_what_vanished_at_the_api_asks_for_a_person_and_is_not_charged_again(
    install: Install, sandbox: Sandbox
) -> None:
    billing = _one(install)
    billing.run(DAY)
    sandbox.delete(sandbox.live()[0])

    answers = [billing.run(DAY) for _ in range(2)]

    assert {answer["outcome"] for answer in answers} == {"attention"}
    assert "no longer at Mileston" in billing.payment("ada")["attention"]
    assert sandbox.calls("create") == 1


def test_what_was_paid_and_is_unpaid_again_asks_for_a_person_and_is_not_charged_again(
    install: Install, sandbox: Sandbox
) -> None:
    billing = install()
    billing.subscribe([subscription("ada", DAY), subscription("bob", DAY)])
    billing.run(DAY)
    paid = billing.payment("ada")["remote_id"]
    sandbox.pay(paid)
    assert billing.run(DAY)["settlement"]["paid"] == 1
    sandbox.unpay(paid)

    answers = [billing.run(DAY) for _ in range(2)]

    assert {answer["outcome"] for answer in answers} == {"attention"}
    assert "unpaid" in billing.payment("ada")["attention"]
    assert billing.payment("ada")["state"] == "paid"
    assert sandbox.calls("create") == 2
