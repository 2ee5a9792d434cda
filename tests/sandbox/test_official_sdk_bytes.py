"""The exact bytes that the official SDK puts on the wire, replayed over a raw socket.

Captured from the npm package mileston-payments 0.2.3 (with axios 1.21.1 on Node.js 20), whose base URLs
were pointed at this sandbox through a recording relay. Only the ids, which were the sandbox's to give,
are replaced by the ones that it gives now; they have the same length. Worth noticing:

- A list is asked for with a slash before the query: `GET /invoice/?limit=5`.
- GET and DELETE carry the body `{}`.
- The SDK does not encode the business name: of `A&B Söhne GmbH` only `A` arrives as the name.
"""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import pytest

from tests.support.sandbox_calls import (
    DATA_KEYS,
    ID_FIELDS,
    INVOICE,
    LINK,
    LINK_KEYS,
    RECURRING,
    Caller,
    serving,
)

ID = b"00000000-0000-4000-8000-000000000000"

HEAD = (
    b"%s HTTP/1.1\r\n"
    b"Accept: application/json, text/plain, */*\r\n"
    b"Content-Type: application/json\r\n"
    b"apikey: test-key\r\n"
    b"businessid: biz-1\r\n"
    b"User-Agent: axios/1.21.1\r\n"
    b"Content-Length: %d\r\n"
    b"Accept-Encoding: gzip, compress, deflate, br\r\n"
    b"Host: 127.0.0.1:9911\r\n"
    b"Connection: keep-alive\r\n"
    b"\r\n"
)

# By call: the request line without its version, the Content-Length that was sent, and the body.
Request = tuple[bytes, int, bytes]
SENT: dict[str, dict[str, Request]] = {
    RECURRING: {
        "create": (
            b"POST /recurring-payment/create?businessName=A&B%20S%C3%B6hne%20GmbH",
            309,
            b'{"amount":"50.00","subscriptionName":"Premium Plan","subscriberFullName":"J\xc3\xb6hn Doe",'
            b'"subscriberEmail":"john.doe@example.com",'
            b'"subscriberWalletAddress":"0x52908400098527886E0F7030069857D2E4169EE7",'
            b'"currentPaymentStatus":"unpaid","recurringDate":"2026-02-01T00:00:00.000Z",'
            b'"recurringInterval":30,"addPdf":true}',
        ),
        "get": (b"GET /recurring-payment/" + ID, 2, b"{}"),
        "list": (b"GET /recurring-payment/?limit=5", 2, b"{}"),
        "update": (
            b"PATCH /recurring-payment/update",
            151,
            b'{"recurringPaymentId":"' + ID + b'","amount":"60.00","currentPaymentStatus":"paid",'
            b'"recurringDate":"2026-03-01T00:00:00.000Z"}',
        ),
        "delete": (b"DELETE /recurring-payment/delete/" + ID, 2, b"{}"),
    },
    INVOICE: {
        "create": (
            b"POST /invoice/create?businessName=Acme",
            133,
            b'{"amount":"200.00","itemName":"Service Fee","customerEmail":"client@example.com",'
            b'"dueDate":"2026-01-31T00:00:00.000Z","addPdf":false}',
        ),
        "get": (b"GET /invoice/" + ID, 2, b"{}"),
        "list": (b"GET /invoice/?limit=5", 2, b"{}"),
        "update": (b"PATCH /invoice/update", 69, b'{"invoiceId":"' + ID + b'","amount":"210.5"}'),
        "delete": (b"DELETE /invoice/delete/" + ID, 2, b"{}"),
    },
    LINK: {
        "create": (
            b"POST /payment-link/create",
            168,
            b'{"amount":"100.00","title":"Premium","description":"Purchase of premium subscription",'
            b'"redirectUrl":"https://example.com/thanks","customerEmail":"customer@example.com"}',
        ),
        "get": (b"GET /payment-link/" + ID, 2, b"{}"),
        "list": (b"GET /payment-link/?limit=5", 2, b"{}"),
        "update": (
            b"PATCH /payment-link/update",
            86,
            b'{"paymentLinkId":"' + ID + b'","amount":"120.00","title":"T"}',
        ),
        "delete": (b"DELETE /payment-link/delete/" + ID, 2, b"{}"),
    },
}


class Wire:
    """One kept-alive connection, as the SDK's agent holds it."""

    def __init__(self, connection: socket.socket, answers: BinaryIO) -> None:
        self._connection = connection
        self._answers = answers
        self.record_id = ID

    def send(self, request: Request) -> tuple[int, dict[str, Any]]:
        """Send the bytes of one request; return the status and the JSON of the answer."""
        line, length, body = request
        self._connection.sendall((HEAD % (line, length) + body).replace(ID, self.record_id))
        status = int(self._answers.readline().split()[1])
        headers = {}
        while (header := self._answers.readline()) != b"\r\n":
            name, _, value = header.decode().partition(":")
            headers[name.lower()] = value.strip()
        assert headers["content-type"] == "application/json; charset=utf-8"
        document: dict[str, Any] = json.loads(self._answers.read(int(headers["content-length"])))
        return status, document


@contextmanager
def wire(api: Caller) -> Iterator[Wire]:
    address = urlsplit(api.url)
    with (
        socket.create_connection((address.hostname, address.port), timeout=10) as connection,
        connection.makefile("rb") as answers,
    ):
        yield Wire(connection, answers)


def expected(resource: str, call: str) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads(SENT[resource][call][2].replace(ID, b""))
    fields.pop(ID_FIELDS[resource], None)
    fields.pop("customerEmail" if resource == LINK else "", None)  # no field of a payment link
    return fields


@pytest.mark.parametrize("resource", [RECURRING, INVOICE, LINK])
def test_every_call_of_the_sdk_is_understood(resource: str) -> None:
    requests, data_key, id_field = SENT[resource], DATA_KEYS[resource], ID_FIELDS[resource]
    with serving() as api, wire(api) as sdk:
        status, answer = sdk.send(requests["create"])
        created = answer[data_key]
        sdk.record_id = created[id_field].encode()
        assert (status, answer["statusCode"]) == (201, 201)
        assert len(sdk.record_id) == len(ID)
        assert created.items() >= expected(resource, "create").items()
        assert "customerEmail" not in created or resource == INVOICE
        if resource in LINK_KEYS:
            assert (
                answer[LINK_KEYS[resource]]
                == f"http://127.0.0.1:9911/checkout/{resource}/{created[id_field]}"
            )

        status, answer = sdk.send(requests["get"])
        assert (status, answer[data_key]) == (200, created)

        status, answer = sdk.send(requests["list"])
        assert (status, answer[data_key]) == (200, [created])

        status, answer = sdk.send(requests["update"])
        updated = created | expected(resource, "update")
        assert (status, answer[data_key]) == (200, updated)
        assert sdk.send(requests["get"])[1][data_key] == updated

        status, answer = sdk.send(requests["delete"])
        assert (status, set(answer)) == (200, {"statusCode", "message"})

        # What the SDK throws as its error is the `message` of the answer.
        status, answer = sdk.send(requests["get"])
        assert (status, answer["statusCode"]) == (404, 404)
        assert answer["message"].endswith("not found")
        assert sdk.send(requests["list"])[1][data_key] == []


def test_the_sdk_cuts_a_business_name_at_the_ampersand() -> None:
    with serving() as api, wire(api) as sdk:
        sdk.send(SENT[RECURRING]["create"])
        assert [record["businessName"] for record in api.stored()] == ["A"]
