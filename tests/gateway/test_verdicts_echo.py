"""Success is believed only if the answer repeats what was asked for; a refusal says why, not who."""

import json
from typing import Any

import pytest

from billing.core.outcomes import CreateOutcome, OutcomeKind
from tests.support.scripted_api import (
    EMAIL,
    KEY,
    LATER,
    MARKER,
    NAME,
    Connection,
    Step,
    echo,
    payment,
    reply,
    run_script,
)

CREATED, REFUSED, UNKNOWN = OutcomeKind.CREATED, OutcomeKind.REFUSED, OutcomeKind.UNKNOWN


def outcome_of(*script: Step) -> CreateOutcome:
    _, run = run_script(*script)
    return run(lambda gateway: gateway.create(payment(), LATER))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"amount": "19.91"}, "amount"),
        ({"amount": None}, "amount"),
        ({"amount": "1.99e1"}, "amount"),
        ({"amount": "nan"}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": {"value": "19.90"}}, "amount"),
        ({"subscriptionName": "Gold"}, "subscriptionName"),
        ({"subscriptionName": "[RB-0123456789ABCDE"}, "subscriptionName"),
        ({"subscriptionName": "[RB-0123456789ABCDEG] Gold"}, "subscriptionName"),
        ({"subscriptionName": f"[RB-0000000000000000] Gold [{MARKER}]"}, "subscriptionName"),
        ({"subscriptionName": None}, "subscriptionName"),
        ({"subscriptionName": 5}, "subscriptionName"),
        ({"subscriberEmail": "other@example.org"}, "subscriberEmail"),
        ({"subscriberEmail": None}, "subscriberEmail"),
        ({"remote_id": None}, "recurringPaymentId"),
        ({"remote_id": ""}, "recurringPaymentId"),
        ({"remote_id": "two words"}, "recurringPaymentId"),
        ({"remote_id": "../../delete"[:2]}, "recurringPaymentId"),
        ({"remote_id": "line\nbreak"}, "recurringPaymentId"),
        ({"remote_id": ["rp_1"]}, "recurringPaymentId"),
        ({"remote_id": True}, "recurringPaymentId"),
        ({"remote_id": "x" * 201}, "recurringPaymentId"),
        ({"top": {"statusCode": 500}}, "statusCode"),
        ({"top": {"recurringPaymentData": None}}, "recurringPaymentData"),
        ({"top": {"recurringPaymentData": []}}, "recurringPaymentData"),
    ],
)
def test_a_wrong_echo_is_unknown_and_needs_a_person(wrong: dict[str, Any], named: str) -> None:
    outcome = outcome_of(echo(**wrong))
    assert (outcome.kind, outcome.mismatch, outcome.status) == (UNKNOWN, True, 201)
    assert outcome.detail == f"Mileston's answer lacks these fields or differs from what was sent: {named}"


@pytest.mark.parametrize(
    "wrong",
    [{"amount": "1.00"}, {"subscriptionName": "Gol"}, {"top": {"statusCode": 500}}, {"subscriberEmail": ""}],
)
def test_a_create_that_was_answered_with_an_id_keeps_it_whatever_else_the_answer_says(
    wrong: dict[str, Any],
) -> None:
    outcome = outcome_of(echo(remote_id="rp_9", **wrong))
    assert (outcome.kind, outcome.remote_id, outcome.named_id) == (UNKNOWN, "rp_9", "rp_9")


def test_no_other_outcome_names_a_record_that_is_not_ours() -> None:
    assert outcome_of(echo()).named_id is None
    assert outcome_of(echo(remote_id=None)).named_id is None
    assert outcome_of(reply(422, {"recurringPaymentData": {"recurringPaymentId": "rp_9"}})).named_id is None


@pytest.mark.parametrize(
    "right",
    [
        {},
        {"amount": "19.9"},
        {"amount": "19.900000"},
        {"amount": 19.9},
        {"subscriberEmail": EMAIL.upper()},
        {"subscriptionName": f"[{MARKER}] gold plan (renamed)"},
        {"subscriptionName": f"[{MARKER}]"},
        {"subscriptionName": f"{MARKER.lower()} gold"},
        {"subscriptionName": f"Gold [{MARKER}]"},
        {"remote_id": 4711},
        {"subscriberFullName": None},
        {"status": 200},
        {"status": 299},
    ],
)
def test_an_equal_echo_is_created(right: dict[str, Any]) -> None:
    outcome = outcome_of(echo(**right))
    assert (outcome.kind, outcome.detail, outcome.mismatch) == (CREATED, "", False)
    assert outcome.remote_id == str(right.get("remote_id", "rp_1"))


def test_ten_is_ten_point_zero_zero() -> None:
    _, run = run_script(echo(amount="10"), echo(amount=10))

    async def scene(made: Any) -> list[OutcomeKind]:
        return [(await made.create(payment(amount_micros=10_000_000), LATER)).kind for _ in range(2)]

    assert run(scene) == [CREATED, CREATED]


def test_the_content_type_does_not_matter() -> None:
    """The echo is the proof; a wrong label on it proves nothing."""

    async def mislabelled(connection: Connection) -> None:
        sent = await connection.request()
        data = json.dumps({"recurringPaymentData": {**sent, "recurringPaymentId": "rp_1"}}).encode()
        await connection.send(
            b"HTTP/1.1 201 X\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(data)
        )
        await connection.send(data)

    assert outcome_of(mislabelled).kind is CREATED


def test_a_refusal_says_why_without_saying_who() -> None:
    message = [
        f"subscriberFullName {NAME.upper()} is too short",
        f"{EMAIL} is\x07not\x00\x00 allowed",
        f"key {KEY} of other.person@example.com",
    ]
    outcome = outcome_of(reply(422, {"statusCode": 422, "message": message}))
    assert outcome == CreateOutcome(
        REFUSED,
        status=422,
        detail="HTTP 422: subscriberFullName … is too short; … is not allowed; key … of …",
    )


def test_an_answer_without_a_message() -> None:
    assert outcome_of(reply(400, b"<html>")).detail == "HTTP 400 without a message"


@pytest.mark.parametrize(
    ("changes", "unmarked"),
    [
        ({"subscriptionName": "[RB-0123456789"}, True),
        ({"subscriptionName": "Gold"}, True),
        ({"subscriptionName": "[RB-0000000000000000] Gold"}, False),
        ({"subscriptionName": "Gold", "amount": "19.91"}, False),
        ({"subscriptionName": "Gold", "remote_id": None}, False),
        ({}, False),
    ],
)
def test_a_name_that_lost_its_marker_is_told_from_what_is_another_s(
    changes: dict[str, Any], unmarked: bool
) -> None:
    assert outcome_of(echo(**changes)).unmarked == unmarked
