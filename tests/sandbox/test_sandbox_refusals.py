"""Everything the API refuses, and that nothing is stored then."""

import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.sandbox_calls import HEADERS, INVOICE, LINK, PAYLOADS, RECURRING, serving

NO_ID = "00000000-0000-4000-8000-000000000000"
NOT_AMOUNTS = [
    "",
    "0",
    "0.00",
    "-1",
    "+1",
    "1e3",
    "1.2345678",
    "1,50",
    ".5",
    "5.",
    " 1",
    "1\n",
    "007",
    "NaN",
    "١",
    12,
    None,
]
NOT_NAMES = ["", "  ", 5, None, ["Jane"]]
NOT_EMAILS = ["", "jane", "@", "jane@", "@example.com", "jane doe@example.com", 5, None]
NOT_INSTANTS = [
    "",
    "2026-02-01",
    "2026-02-01T00:00:00Z",
    "2026-02-01T00:00:00.000+00:00",
    "2026-02-30T00:00:00.000Z",
    "2026-02-01T25:00:00.000Z",
    "2026-02-01T00:00:00.000Z\n",
    1767225600000,
    None,
]
NOT_INTERVALS = [0, -1, 1.5, "30", True, None]
NOT_STATUSES = ["", "Paid", "open", 1, None, []]
NOT_FLAGS = ["true", 1, 0, None]
NOT_TEXTS: list[object] = [5, None, {}]

INVALID: dict[str, dict[str, list[Any]]] = {
    RECURRING: {
        "amount": NOT_AMOUNTS,
        "subscriptionName": NOT_NAMES,
        "subscriberFullName": NOT_NAMES,
        "subscriberEmail": NOT_EMAILS,
        "subscriberWalletAddress": NOT_TEXTS,
        "currentPaymentStatus": NOT_STATUSES,
        "recurringDate": NOT_INSTANTS,
        "recurringInterval": NOT_INTERVALS,
        "addPdf": NOT_FLAGS,
    },
    LINK: {
        "amount": NOT_AMOUNTS,
        "title": NOT_TEXTS,
        "description": NOT_TEXTS,
        "redirectUrl": NOT_TEXTS,
        "logoUrl": NOT_TEXTS,
        "bannerUrl": NOT_TEXTS,
    },
    INVOICE: {
        "amount": NOT_AMOUNTS,
        "itemName": NOT_NAMES,
        "customerEmail": NOT_EMAILS,
        "dueDate": NOT_INSTANTS,
        "addPdf": NOT_FLAGS,
    },
}
FIELDS = [(resource, field) for resource, fields in INVALID.items() for field in fields]


@pytest.mark.parametrize(("resource", "field"), FIELDS)
def test_an_invalid_field_is_refused_by_name_in_creates_and_updates(resource: str, field: str) -> None:
    with serving() as api:
        record_id = api.created(resource)
        before = api.stored()
        for value in INVALID[resource][field]:
            for answer in (
                api.create(resource, **{field: value}),
                api.update(record_id, resource, **{field: value}),
            ):
                assert answer.status_code == 400, value
                assert answer.json()["statusCode"] == 400
                assert answer.json()["message"].startswith(f"{field} must be "), value
        assert api.stored() == before


@pytest.mark.parametrize("resource", [RECURRING, LINK, INVOICE])
def test_each_required_field_that_is_missing_is_named(resource: str) -> None:
    required = ["amount"] if resource == LINK else list(PAYLOADS[resource])
    with serving() as api:
        for field in required:
            body = {name: value for name, value in PAYLOADS[resource].items() if name != field}
            answer = api.http.post(f"/{resource}/create?businessName=Acme", json=body)
            assert answer.status_code == 400
            assert answer.json()["message"].startswith(f"{field} is required")
        assert api.stored() == []


@pytest.mark.parametrize("amount", ["1", "0.000001", "10.5", "999999999.123456", "1.20"])
def test_good_amounts_are_taken_as_they_are(amount: str) -> None:
    with serving() as api:
        assert api.create(amount=amount).json()["recurringPaymentData"]["amount"] == amount


@pytest.mark.parametrize("resource", [RECURRING, INVOICE])
@pytest.mark.parametrize("query", ["", "?businessName=", "?businessName=%20", "?name=Acme"])
def test_a_create_without_a_business_name_is_refused(resource: str, query: str) -> None:
    with serving() as api:
        answer = api.http.post(f"/{resource}/create{query}", json=PAYLOADS[resource])
        assert answer.status_code == 400
        assert "businessName" in answer.json()["message"]
        assert api.stored() == []


@pytest.mark.parametrize("header", ["apikey", "businessid"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_call_without_its_headers_is_unauthorised(header: str, value: str | None) -> None:
    with serving() as api:
        record_id = api.created()
        del api.http.headers[header]
        if value is not None:
            api.http.headers[header] = value
        answers = [
            api.create(),
            api.get(record_id),
            api.listing(),
            api.update(record_id, amount="1"),
            api.delete(record_id),
        ]
        (kept,) = api.stored()
    assert [answer.status_code for answer in answers] == [401] * 5
    assert all(answer.json()["statusCode"] == 401 and answer.json()["message"] for answer in answers)
    assert (kept["data"]["amount"], kept["deletedAt"]) == ("12.50", None)


def test_only_the_given_keys_are_let_in_and_they_can_be_rotated() -> None:
    with serving(api_keys=["old", "other"]) as api:
        statuses = []
        for key in ("test-key", "old", "other"):
            api.http.headers["apikey"] = key
            statuses.append(api.create().status_code)
        api.control("PUT", "keys", {"keys": ["new"]})
        for key in ("old", "new"):
            api.http.headers["apikey"] = key
            statuses.append(api.create().status_code)
        api.control("PUT", "keys", {"keys": None})
        api.http.headers["apikey"] = "anything"
        statuses.append(api.create().status_code)
    assert statuses == [401, 201, 201, 401, 201, 201]


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize(("method", "call"), [("POST", "create?businessName=Acme"), ("PATCH", "update")])
def test_a_body_that_does_not_say_it_is_json_is_refused(
    method: str, call: str, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    with serving() as api:
        answer = api.http.request(method, f"/{RECURRING}/{call}", content=b"{}", headers=headers)
    assert answer.status_code == 400
    assert "Content-Type" in answer.json()["message"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"{'a': 1}", b'{"amount": NaN}', b"\xff\xfe", b"[" * 100_000, b"[]", b'"x"', b"null", b"1"],
)
@pytest.mark.parametrize(("method", "call"), [("POST", "create?businessName=Acme"), ("PATCH", "update")])
def test_a_body_that_is_no_json_object_is_refused(method: str, call: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    with serving() as api:
        answer = api.http.request(method, f"/{RECURRING}/{call}", content=body, headers=headers)
    assert answer.status_code == 400
    assert "JSON" in answer.json()["message"]


def test_a_body_of_one_mebibyte_is_read_and_a_longer_one_is_refused() -> None:
    with serving() as api:
        headers = {"Content-Type": "application/json"}
        path = f"/{RECURRING}/create?businessName=Acme"
        longest = api.http.post(path, content=b" " * 2**20, headers=headers)
        longer = api.http.post(path, content=b" " * (2**20 + 1), headers=headers)
    assert (longest.status_code, longest.json()["message"]) == (400, "Invalid JSON in the request body")
    assert (longer.status_code, longer.json()["statusCode"]) == (413, 413)


def test_a_client_that_waits_for_100_continue_gets_it() -> None:
    head = f"POST /{LINK}/create HTTP/1.1\r\nHost: x\r\napikey: k\r\nbusinessid: b\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 14\r\nExpect: 100-continue\r\n\r\n"
    with serving() as api:
        address = urlsplit(api.url)
        with socket.create_connection((address.hostname, address.port), timeout=10) as wire:
            wire.sendall(head.encode())
            assert wire.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
            wire.sendall(b'{"amount":"1"}')
            assert wire.recv(65_536).startswith(b"HTTP/1.1 201 Created\r\n")


def test_a_client_that_hangs_up_in_the_middle_of_its_request_stores_nothing_and_harms_nobody(
    capfd: pytest.CaptureFixture[str],
) -> None:
    head = b"POST /payment-link/create HTTP/1.1\r\nHost: x\r\napikey: k\r\nbusinessid: b\r\n"
    head += b'Content-Type: application/json\r\nContent-Length: 14\r\n\r\n{"amount":'
    with serving() as api:
        address = urlsplit(api.url)
        with socket.create_connection((address.hostname, address.port), timeout=10) as wire:
            wire.sendall(head)
        assert api.create().status_code == 201
        assert len(api.stored()) == 1
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("record_id", [None, "", 5])
def test_an_update_must_name_its_record(record_id: object) -> None:
    with serving() as api:
        answer = api.http.patch(f"/{LINK}/update", json={"paymentLinkId": record_id, "amount": "1"})
    assert answer.status_code == 400
    assert "paymentLinkId" in answer.json()["message"]


@pytest.mark.parametrize("resource", [RECURRING, LINK, INVOICE])
def test_an_unknown_record_is_not_found(resource: str) -> None:
    with serving() as api:
        answers = [
            api.get(NO_ID, resource),
            api.update(NO_ID, resource, amount="1"),
            api.delete(NO_ID, resource),
        ]
    assert [answer.status_code for answer in answers] == [404] * 3
    assert all(answer.json()["message"].endswith("not found") for answer in answers)


@pytest.mark.parametrize("limit", ["0", "-1", "abc", "1.5", "", "%201", "1e3", "9999999999", "undefined"])
def test_a_limit_that_is_no_positive_number_is_refused(limit: str) -> None:
    with serving() as api:
        answer = api.http.get(f"/{RECURRING}?limit={limit}")
    assert answer.status_code == 400
    assert "limit" in answer.json()["message"]


@pytest.mark.parametrize(
    "path",
    ["/nothing", f"/{LINK}s", f"/{LINK}/a/b", f"/{LINK}/delete/", f"/{LINK}/delete/a/b", "/_sandbox", "//"],
)
def test_an_unknown_path_is_404_json(path: str) -> None:
    with serving() as api:
        answer = api.http.get(api.url + path)
    assert (answer.status_code, answer.json()["statusCode"]) == (404, 404)
    assert answer.json()["message"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", f"/{RECURRING}/create", "POST"),
        ("PUT", f"/{RECURRING}/update", "PATCH"),
        ("POST", f"/{RECURRING}/update", "PATCH"),
        ("POST", f"/{RECURRING}", "GET"),
        ("DELETE", f"/{RECURRING}/{NO_ID}", "GET"),
        ("GET", f"/{RECURRING}/delete/{NO_ID}", "DELETE"),
        ("OPTIONS", f"/{RECURRING}/create", "POST"),
        ("POST", "/", "GET"),
        ("GET", f"/checkout/{RECURRING}/{NO_ID}/pay", "POST"),
        ("DELETE", "/_sandbox/faults", "GET, PUT"),
    ],
)
def test_a_wrong_method_is_405_json_and_says_which_is_right(method: str, path: str, allowed: str) -> None:
    with serving() as api:
        answer = api.http.request(method, path)
    assert (answer.status_code, answer.json()["statusCode"]) == (405, 405)
    assert answer.headers["allow"] == allowed


def test_refusals_are_counted_and_use_up_no_word_of_the_script() -> None:
    with serving(script=["500"]) as api:
        refused = [api.create(amount="-1").status_code, api.http.post(f"/{RECURRING}/create").status_code]
        api.http.headers["apikey"] = ""
        refused.append(api.create().status_code)
        api.http.headers.update(HEADERS)
        failed = api.create().status_code
        counts = api.counts()
    assert (refused, failed) == ([400, 400, 401], 500)
    assert counts == {"create": {"400": 2, "401": 1, "500": 1}}
