"""The three payment resources of the Mileston API: one shared shape, told as data.

The rules for the fields are what the official SDK's types promise; the API's own validation is not
public, so the sandbox is as strict as those types.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from billing.sandbox.errors import Refusal

STATUS_FIELD = "currentPaymentStatus"
AMOUNT = re.compile(r"(?:0|[1-9][0-9]*)(?:\.[0-9]{1,6})?")
EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")


class Rule(NamedTuple):
    """What a value must be, for people (`must be …`) and as a check."""

    says: str
    holds: Callable[[Any], bool]


def _is_amount(value: Any) -> bool:
    return isinstance(value, str) and AMOUNT.fullmatch(value) is not None and value.strip("0.") != ""


def _is_email(value: Any) -> bool:
    return isinstance(value, str) and EMAIL.fullmatch(value) is not None


def _is_instant(value: Any) -> bool:
    if not isinstance(value, str) or INSTANT.fullmatch(value) is None:
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:  # the shape of an instant, but no such day or hour
        return False
    return True


def _is_days(value: Any) -> bool:
    return type(value) is int and value >= 1  # not isinstance: True is an int to Python


AMOUNT_RULE = Rule("a positive decimal string with at most 6 decimal places", _is_amount)
EMAIL_RULE = Rule("an e-mail address", _is_email)
INSTANT_RULE = Rule("an ISO instant such as 2026-02-01T00:00:00.000Z", _is_instant)
DAYS_RULE = Rule("a whole number of days, 1 or more", _is_days)
STATUS_RULE = Rule("paid or unpaid", lambda value: value in ("paid", "unpaid"))
FLAG_RULE = Rule("true or false", lambda value: isinstance(value, bool))
NAME_RULE = Rule("a non-empty string", lambda value: isinstance(value, str) and value.strip() != "")
TEXT_RULE = Rule("a string", lambda value: isinstance(value, str))


class Field(NamedTuple):
    name: str
    rule: Rule
    required: bool = False


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource: its words on the wire, its fields, and which of them the pages show."""

    path: str
    noun: str
    id_field: str
    data_key: str
    link_key: str | None
    wants_business_name: bool
    shows_status: bool
    fields: tuple[Field, ...]
    title_field: str
    payer_fields: tuple[str, ...]
    due_field: str | None


RESOURCES: Mapping[str, Resource] = {
    resource.path: resource
    for resource in (
        Resource(
            path="recurring-payment",
            noun="Recurring payment",
            id_field="recurringPaymentId",
            data_key="recurringPaymentData",
            link_key=None,
            wants_business_name=True,
            shows_status=True,
            fields=(
                Field("amount", AMOUNT_RULE, required=True),
                Field("subscriptionName", NAME_RULE, required=True),
                Field("subscriberFullName", NAME_RULE, required=True),
                Field("subscriberEmail", EMAIL_RULE, required=True),
                Field("subscriberWalletAddress", TEXT_RULE),
                Field(STATUS_FIELD, STATUS_RULE),
                Field("recurringDate", INSTANT_RULE, required=True),
                Field("recurringInterval", DAYS_RULE, required=True),
                Field("addPdf", FLAG_RULE),
            ),
            title_field="subscriptionName",
            payer_fields=("subscriberFullName", "subscriberEmail"),
            due_field="recurringDate",
        ),
        Resource(
            path="payment-link",
            noun="Payment link",
            id_field="paymentLinkId",
            data_key="paymentData",
            link_key="paymentLink",
            wants_business_name=False,
            shows_status=False,
            fields=(
                Field("amount", AMOUNT_RULE, required=True),
                Field("title", TEXT_RULE),
                Field("description", TEXT_RULE),
                Field("redirectUrl", TEXT_RULE),
                Field("logoUrl", TEXT_RULE),
                Field("bannerUrl", TEXT_RULE),
            ),
            title_field="title",
            payer_fields=("description",),
            due_field=None,
        ),
        Resource(
            path="invoice",
            noun="Invoice",
            id_field="invoiceId",
            data_key="invoiceData",
            link_key="invoiceLink",
            wants_business_name=True,
            shows_status=False,
            fields=(
                Field("amount", AMOUNT_RULE, required=True),
                Field("itemName", NAME_RULE, required=True),
                Field("customerEmail", EMAIL_RULE, required=True),
                Field("dueDate", INSTANT_RULE, required=True),
                Field("addPdf", FLAG_RULE),
            ),
            title_field="itemName",
            payer_fields=("customerEmail",),
            due_field="dueDate",
        ),
    )
}


def fields_of(resource: Resource, body: Mapping[str, Any], *, creating: bool) -> dict[str, Any]:
    """Return the resource's own fields out of a request body; unknown ones are dropped.

    Raises Refusal (400) naming the first field that is missing (when creating) or invalid.
    """
    fields = {}
    for field in resource.fields:
        if field.name in body:
            value = body[field.name]
            if not field.rule.holds(value):
                raise Refusal(400, f"{field.name} must be {field.rule.says}")
            fields[field.name] = value
        elif creating and field.required:
            raise Refusal(400, f"{field.name} is required: it must be {field.rule.says}")
    return fields
