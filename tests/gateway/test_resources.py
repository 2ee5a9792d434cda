"""What is sent can be read back: round trips of payloads, for all three resources."""

import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.core.markers import find_marker, marker_for, name_with_marker
from billing.core.money import MAX_AMOUNT_MICROS
from billing.gateway.client import _encode
from billing.gateway.resources import (
    INVOICES,
    PAYMENT_LINKS,
    RECURRING_PAYMENTS,
    Invoice,
    PaymentLink,
    RecurringPayment,
    Resource,
    usable_id,
)

amounts = st.integers(1, MAX_AMOUNT_MICROS)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
dates = st.dates(date(1000, 1, 1))


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


recurring_payments = st.builds(
    RecurringPayment,
    amount_micros=maybe(amounts),
    subscription_name=maybe(texts),
    subscriber_name=maybe(texts),
    subscriber_email=maybe(texts),
    wallet_address=maybe(texts),
    payment_status=maybe(st.sampled_from(["paid", "unpaid"])),
    recurring_on=maybe(dates),
    interval_days=maybe(st.integers(1, 3660)),
    add_pdf=maybe(st.booleans()),
)
payment_links = st.builds(
    PaymentLink,
    amount_micros=maybe(amounts),
    title=maybe(texts),
    description=maybe(texts),
    redirect_url=maybe(texts),
    logo_url=maybe(texts),
    banner_url=maybe(texts),
)
invoices = st.builds(
    Invoice,
    amount_micros=maybe(amounts),
    item_name=maybe(texts),
    customer_email=maybe(texts),
    due_on=maybe(dates),
    add_pdf=maybe(st.booleans()),
)
pairs = st.one_of(
    st.tuples(st.just(RECURRING_PAYMENTS), recurring_payments),
    st.tuples(st.just(PAYMENT_LINKS), payment_links),
    st.tuples(st.just(INVOICES), invoices),
)


@given(pairs)
def test_what_is_sent_reads_back_the_same(pair: tuple[Resource[Any], Any]) -> None:
    resource, values = pair
    sent = _encode(resource.to_wire(values)).encode()
    assert resource.from_wire(json.loads(sent)) == values
    assert list(resource.differences(values, resource.from_wire(json.loads(sent)))) == []


@given(
    recurring_payments.filter(lambda made: made.subscription_name is None), st.text(min_size=1), dates, texts
)
def test_any_other_amount_marker_or_address_is_a_difference(
    made: RecurringPayment, reference: str, due_on: date, plan: str
) -> None:
    def named(reference: str) -> RecurringPayment:
        return RecurringPayment(subscription_name=name_with_marker(plan, marker_for(reference, due_on)))

    ours, theirs = named(reference), named(reference + "!")
    assert find_marker(ours.subscription_name or "") == marker_for(reference, due_on)
    assert list(RECURRING_PAYMENTS.differences(ours, theirs)) == ["subscriptionName"]
    assert list(RECURRING_PAYMENTS.differences(ours, made)) == ["subscriptionName"]


@given(amounts, amounts)
def test_amounts_compare_as_amounts(ours: int, theirs: int) -> None:
    echo = PAYMENT_LINKS.from_wire(PAYMENT_LINKS.to_wire(PaymentLink(amount_micros=theirs)))
    wrong = list(PAYMENT_LINKS.differences(PaymentLink(amount_micros=ours), echo))
    assert wrong == ([] if ours == theirs else ["amount"])


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=3)
)
def test_any_json_reads_without_an_error(raw: object) -> None:
    every: tuple[Resource[Any], ...] = (RECURRING_PAYMENTS, PAYMENT_LINKS, INVOICES)
    for resource in every:
        names = [wired.name for _, wired in resource.wired]
        fields = resource.from_wire(dict.fromkeys(names, raw))
        resource.to_wire(fields)
        usable_id(raw)


def test_the_wire_names_are_those_of_the_api() -> None:
    assert [wired.name for _, wired in RECURRING_PAYMENTS.wired] == [
        "amount",
        "subscriptionName",
        "subscriberFullName",
        "subscriberEmail",
        "subscriberWalletAddress",
        "currentPaymentStatus",
        "recurringDate",
        "recurringInterval",
        "addPdf",
    ]
    assert [wired.name for _, wired in PAYMENT_LINKS.wired] == [
        "amount",
        "title",
        "description",
        "redirectUrl",
        "logoUrl",
        "bannerUrl",
    ]
    assert [wired.name for _, wired in INVOICES.wired] == [
        "amount",
        "itemName",
        "customerEmail",
        "dueDate",
        "addPdf",
    ]


@pytest.mark.parametrize(
    ("raw", "day"),
    [
        ("2026-02-01T00:00:00.000Z", date(2026, 2, 1)),
        ("2026-02-01", date(2026, 2, 1)),
        ("2026-02-01T23:59:59+14:00", date(2026, 2, 1)),
        ("2026-02-30T00:00:00.000Z", None),
        ("20260201", None),
        ("", None),
        (1769904000000, None),
        (None, None),
    ],
)
def test_reading_dates(raw: object, day: date | None) -> None:
    assert INVOICES.from_wire({"dueDate": raw}).due_on == day
