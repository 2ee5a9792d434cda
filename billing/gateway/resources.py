"""The three resources of the API as data: one shape, described three times.

A class here holds the fields of one resource, every one of them optional: the same class is what a
create sends, what an update changes, and what a record shows. Each field carries its name and form
on the wire. Their values never show in a `repr`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any, Generic, TypeVar, get_type_hints

from billing.core.markers import find_marker
from billing.core.money import format_amount, parse_amount
from billing.core.remote_status import same_address
from billing.errors import InvalidAmount

_DAY = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T.*)?", re.DOTALL)
_REMOTE_ID = re.compile(r"[\x21-\x7e]{1,200}")


@dataclass(frozen=True, slots=True)
class Form:
    """How one kind of value is written; `read` gives None for what can't be read."""

    write: Callable[[Any], object]
    read: Callable[[object], Any]
    same: Callable[[Any, Any], bool] = lambda ours, theirs: bool(ours == theirs)


def _read_amount(raw: object) -> int | None:
    if isinstance(raw, bool) or not isinstance(raw, (str, int, float)):
        return None
    return _amount(str(raw))


# Of a long list's records most have the amount and the day of another: read once, and kept once.
@functools.lru_cache(maxsize=4096)
def _amount(text: str) -> int | None:
    try:
        return parse_amount(text)
    except InvalidAmount:
        return None


def _read_day(raw: object) -> date | None:
    return _day(raw) if isinstance(raw, str) else None


@functools.lru_cache(maxsize=4096)
def _day(text: str) -> date | None:
    match = _DAY.fullmatch(text)
    try:
        return date.fromisoformat(match[1]) if match else None
    except ValueError:
        return None


def _read_whole(raw: object) -> int | None:
    if isinstance(raw, str) and re.fullmatch(r"[0-9]{1,9}", raw, re.ASCII):
        return int(raw)
    return raw if isinstance(raw, int) and not isinstance(raw, bool) else None


def _same_marker(ours: str, theirs: str) -> bool:
    marker = find_marker(ours)
    return ours == theirs if marker is None else marker == find_marker(theirs)


def _text(raw: object) -> str | None:
    return raw if isinstance(raw, str) else None


TEXT = Form(str, _text)
MARKED = Form(str, _text, _same_marker)
ADDRESS = Form(str, _text, same_address)
AMOUNT = Form(format_amount, _read_amount)
# A calendar date in the form that JSON gives an instant. No zone takes part in either direction.
DAY = Form(lambda day: f"{day.isoformat()}T00:00:00.000Z", _read_day)
WHOLE = Form(int, _read_whole)
FLAG = Form(bool, lambda raw: raw if isinstance(raw, bool) else None)


@dataclass(frozen=True, slots=True)
class Wired:
    """A field on the wire. `echoed`: a create is only believed if the answer repeats it as sent."""

    name: str
    form: Form
    required: bool = False
    echoed: bool = False
    personal: bool = False


class Fields:
    """What the three have in common: a `repr` that shows nothing."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RecurringPayment(Fields):
    """`recurring_on` is the due date, `interval_days` the period's length."""

    amount_micros: Annotated[int | None, Wired("amount", AMOUNT, required=True, echoed=True)] = None
    subscription_name: Annotated[
        str | None, Wired("subscriptionName", MARKED, required=True, echoed=True)
    ] = None
    subscriber_name: Annotated[
        str | None, Wired("subscriberFullName", TEXT, required=True, personal=True)
    ] = None
    subscriber_email: Annotated[
        str | None, Wired("subscriberEmail", ADDRESS, required=True, echoed=True, personal=True)
    ] = None
    wallet_address: Annotated[str | None, Wired("subscriberWalletAddress", TEXT, personal=True)] = None
    payment_status: Annotated[str | None, Wired("currentPaymentStatus", TEXT)] = None
    recurring_on: Annotated[date | None, Wired("recurringDate", DAY, required=True)] = None
    interval_days: Annotated[int | None, Wired("recurringInterval", WHOLE, required=True)] = None
    add_pdf: Annotated[bool | None, Wired("addPdf", FLAG)] = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PaymentLink(Fields):
    amount_micros: Annotated[int | None, Wired("amount", AMOUNT, required=True, echoed=True)] = None
    title: Annotated[str | None, Wired("title", TEXT)] = None
    description: Annotated[str | None, Wired("description", TEXT)] = None
    redirect_url: Annotated[str | None, Wired("redirectUrl", TEXT)] = None
    logo_url: Annotated[str | None, Wired("logoUrl", TEXT)] = None
    banner_url: Annotated[str | None, Wired("bannerUrl", TEXT)] = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Invoice(Fields):
    amount_micros: Annotated[int | None, Wired("amount", AMOUNT, required=True, echoed=True)] = None
    item_name: Annotated[str | None, Wired("itemName", TEXT, required=True, echoed=True)] = None
    customer_email: Annotated[
        str | None, Wired("customerEmail", ADDRESS, required=True, echoed=True, personal=True)
    ] = None
    due_on: Annotated[date | None, Wired("dueDate", DAY, required=True)] = None
    add_pdf: Annotated[bool | None, Wired("addPdf", FLAG)] = None


F = TypeVar("F", bound=Fields)


@dataclass(frozen=True, slots=True)
class Record(Generic[F]):
    """A record as the API shows it. What it lacks, or what can't be read, is None in `fields`.

    `remote_id` is empty where the API gave none that is usable. `link` is where the payer pays, if
    the API said so.
    """

    remote_id: str
    fields: F = field(repr=False)
    link: str = field(default="", repr=False)


@dataclass(frozen=True)
class Resource(Generic[F]):
    """One resource: where it lives and how its records look.

    `path` is both the end of its base URL and its part of a checkout address. `names_business`:
    its create carries the business's name in the query.
    """

    name: str
    path: str
    live_url: str
    fields: type[F]
    id_field: str
    data_key: str
    link_key: str = ""
    names_business: bool = False

    @functools.cached_property
    def wired(self) -> tuple[tuple[str, Wired], ...]:
        """Each field's name in Python, and what it is on the wire."""
        hints = get_type_hints(self.fields, include_extras=True)
        return tuple((name, hint.__metadata__[0]) for name, hint in hints.items())

    def to_wire(self, values: F) -> dict[str, object]:
        """The fields that are set, as JSON has them."""
        return {
            wired.name: wired.form.write(value)
            for name, wired in self.wired
            if (value := getattr(values, name)) is not None
        }

    def from_wire(self, data: dict[str, Any]) -> F:
        """The fields of a record; tolerant: what can't be read is None."""
        return self.fields(**{name: wired.form.read(data.get(wired.name)) for name, wired in self.wired})

    def reader(self, names: Sequence[str]) -> Callable[[dict[str, Any]], list[Any]]:
        """Reads these fields alone, as `from_wire` does: for lists of very many records."""
        wired = dict(self.wired)
        chosen = [(wired[name].name, wired[name].form.read) for name in names]
        return lambda data: [read(data.get(name)) for name, read in chosen]

    def missing(self, values: F) -> list[str]:
        """The fields that a create needs and `values` lacks."""
        return [name for name, wired in self.wired if wired.required and getattr(values, name) is None]

    def differences(self, sent: F, echo: F) -> Iterator[str]:
        """The wire names of the fields that the answer should repeat and does not."""
        for name, wired in self.wired:
            ours, theirs = getattr(sent, name), getattr(echo, name)
            if wired.echoed and ours is not None and (theirs is None or not wired.form.same(ours, theirs)):
                yield wired.name

    def lost_its_marker(self, differing: Sequence[str], echo: F) -> bool:
        """Whether of all echoed fields only the name differs, and it bears no marker, as where it was cut."""
        marked = {wired.name: name for name, wired in self.wired if wired.form is MARKED}
        if list(differing) != list(marked):
            return False
        return all(find_marker(getattr(echo, name) or "") is None for name in marked.values())

    def personal(self, values: F) -> list[str]:
        """What must not show in any message."""
        return [
            str(value)
            for name, wired in self.wired
            if wired.personal and (value := getattr(values, name)) is not None
        ]


def usable_id(raw: object) -> str | None:
    """A record's id if it can be put into a path and a log line: printable ASCII, no blanks."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        raw = str(raw)
    if not isinstance(raw, str) or not _REMOTE_ID.fullmatch(raw) or raw in (".", ".."):
        return None
    return raw


RECURRING_PAYMENTS = Resource(
    name="recurring payment",
    path="recurring-payment",
    live_url="https://recurring-service.mileston.co/recurring-payment",
    fields=RecurringPayment,
    id_field="recurringPaymentId",
    data_key="recurringPaymentData",
    names_business=True,
)
PAYMENT_LINKS = Resource(
    name="payment link",
    path="payment-link",
    live_url="https://payment-service.mileston.co/payment-link",
    fields=PaymentLink,
    id_field="paymentLinkId",
    data_key="paymentData",
    link_key="paymentLink",
)
INVOICES = Resource(
    name="invoice",
    path="invoice",
    live_url="https://invoice-service.mileston.co/invoice",
    fields=Invoice,
    id_field="invoiceId",
    data_key="invoiceData",
    link_key="invoiceLink",
    names_business=True,
)
