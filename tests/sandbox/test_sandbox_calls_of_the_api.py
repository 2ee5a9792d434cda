"""The five calls of the three resources, as a client sees them when nothing goes wrong."""

import re
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.sandbox_calls import (
    DATA_KEYS,
    ID_FIELDS,
    INVOICE,
    LINK,
    LINK_KEYS,
    PAYLOADS,
    RECURRING,
    calling,
    serving,
)

RESOURCES = [RECURRING, LINK, INVOICE]
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def data_of(answer: httpx.Response, resource: str) -> dict[str, object]:
    data: dict[str, object] = answer.json()[DATA_KEYS[resource]]
    return data


def keys_of_one(resource: str) -> set[str]:
    return {"statusCode", "message", DATA_KEYS[resource]} | {
        LINK_KEYS[resource] for _ in [0] if resource in LINK_KEYS
    }


@pytest.mark.parametrize("resource", RESOURCES)
def test_create_answers_201_and_repeats_what_it_was_given_with_an_id(resource: str) -> None:
    with serving() as api:
        answer = api.create(resource)
        data = data_of(answer, resource)
    assert (answer.status_code, answer.json()["statusCode"]) == (201, 201)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert set(answer.json()) == keys_of_one(resource)
    assert data.items() >= PAYLOADS[resource].items()
    assert UUID4.fullmatch(str(data[ID_FIELDS[resource]]))
    assert INSTANT.fullmatch(str(data["createdAt"]))
    status = {"currentPaymentStatus"} if resource == RECURRING else set()
    assert set(data) == set(PAYLOADS[resource]) | {ID_FIELDS[resource], "createdAt"} | status


@pytest.mark.parametrize("resource", RESOURCES)
def test_get_answers_the_record_that_was_created(resource: str) -> None:
    with serving() as api:
        created = data_of(api.create(resource), resource)
        answer = api.get(str(created[ID_FIELDS[resource]]), resource)
    assert (answer.status_code, answer.json()["statusCode"]) == (200, 200)
    assert set(answer.json()) == keys_of_one(resource)
    assert data_of(answer, resource) == created


@pytest.mark.parametrize("resource", RESOURCES)
@pytest.mark.parametrize("slash", ["", "/"])
def test_list_answers_an_array_with_and_without_a_trailing_slash(resource: str, slash: str) -> None:
    with serving() as api:
        created = [data_of(api.create(resource), resource) for _ in range(3)]
        answer = api.http.get(f"/{resource}{slash}?limit=2")
    assert answer.status_code == 200
    assert set(answer.json()) == {"statusCode", "message", DATA_KEYS[resource]}
    assert answer.json()["message"].endswith("s retrieved successfully")
    assert answer.json()[DATA_KEYS[resource]] == [created[2], created[1]]


@pytest.mark.parametrize("resource", RESOURCES)
def test_update_changes_the_given_fields_and_no_others(resource: str) -> None:
    with serving() as api:
        created = data_of(api.create(resource), resource)
        record_id = str(created[ID_FIELDS[resource]])
        answer = api.update(record_id, resource, amount="99.999999", unheardOf=1)
        later = data_of(api.get(record_id, resource), resource)
    assert answer.status_code == 200
    assert set(answer.json()) == keys_of_one(resource)
    assert data_of(answer, resource) == later == created | {"amount": "99.999999"}


@pytest.mark.parametrize("resource", RESOURCES)
def test_delete_answers_nothing_more_and_the_record_is_gone_but_stays_in_the_history(resource: str) -> None:
    with serving() as api:
        record_id = api.created(resource)
        answer = api.delete(record_id, resource)
        afterwards = [
            api.get(record_id, resource).status_code,
            api.delete(record_id, resource).status_code,
            api.update(record_id, resource, amount="1").status_code,
        ]
        listed = api.listing(resource=resource).json()[DATA_KEYS[resource]]
        (kept,) = api.stored()
    assert answer.status_code == 200
    assert set(answer.json()) == {"statusCode", "message"}
    assert afterwards == [404, 404, 404]
    assert listed == []
    assert kept["id"] == record_id
    assert INSTANT.fullmatch(kept["deletedAt"])


@pytest.mark.parametrize("body", [None, b"{}", b'{"anything": 1}', b"not json"])
def test_get_list_and_delete_do_not_care_about_their_body(body: bytes | None) -> None:
    with serving() as api:
        record_id = api.created()
        json_type = {"Content-Type": "application/json"}
        for method, path in [
            ("GET", f"/{RECURRING}/{record_id}"),
            ("GET", f"/{RECURRING}?limit=1"),
            ("DELETE", f"/{RECURRING}/delete/{record_id}"),
        ]:
            answer = api.http.request(method, path, content=body, headers=json_type)
            assert answer.status_code == 200, (method, path)


@pytest.mark.parametrize("resource", [LINK, INVOICE])
def test_links_lead_to_the_checkout_page_at_the_host_that_was_asked(resource: str) -> None:
    with serving() as api:
        answer = api.create(resource)
        page = api.http.get(answer.json()[LINK_KEYS[resource]])
    assert answer.json()[LINK_KEYS[resource]].startswith(f"{api.url}/checkout/{resource}/")
    assert page.status_code == 200


def test_a_recurring_payment_is_unpaid_unless_it_says_otherwise_and_can_be_updated() -> None:
    with serving() as api:
        unpaid, paid = api.create(), api.create(currentPaymentStatus="paid")
        record_id = str(data_of(unpaid, RECURRING)["recurringPaymentId"])
        updated = api.update(record_id, currentPaymentStatus="paid")
    assert data_of(unpaid, RECURRING)["currentPaymentStatus"] == "unpaid"
    assert data_of(paid, RECURRING)["currentPaymentStatus"] == "paid"
    assert data_of(updated, RECURRING)["currentPaymentStatus"] == "paid"


def test_unknown_fields_are_ignored_and_not_stored() -> None:
    with serving() as api:
        answer = api.create(idempotencyKey="x", recurringPaymentId="mine")
        (kept,) = api.stored()
    assert answer.status_code == 201
    assert "idempotencyKey" not in kept["data"]
    assert kept["id"] != "mine"


@pytest.mark.parametrize("name", ["A&B Söhne GmbH", "100 % #1 + more?", "株式会社"])
def test_a_properly_encoded_business_name_arrives_whole(name: str) -> None:
    with serving() as api:
        api.http.post(f"/{INVOICE}/create", params={"businessName": name}, json=PAYLOADS[INVOICE])
        (kept,) = api.stored()
    assert kept["businessName"] == name


def test_texts_come_back_as_they_went_in() -> None:
    odd = 'Jöhn "O\'Néill" <b>&amp;</b> \u2028 😀 \x00'
    with serving() as api:
        record_id = api.created(subscriberFullName=odd)
        answer = api.get(record_id)
    assert data_of(answer, RECURRING)["subscriberFullName"] == odd


def test_records_are_seen_by_their_own_business_and_resource_alone() -> None:
    with serving() as api:
        record_id = api.created()
        api.http.headers["businessid"] = "biz-2"
        strangers = [api.get(record_id), api.update(record_id, amount="1"), api.delete(record_id)]
        listed = api.listed_amounts()
        api.http.headers["businessid"] = "biz-1"
        other_resource = api.get(record_id, INVOICE)
        own = api.get(record_id)
    assert [answer.status_code for answer in strangers] == [404, 404, 404]
    assert listed == []
    assert other_resource.status_code == 404
    assert data_of(own, RECURRING)["amount"] == "12.50"


def test_a_list_without_a_limit_gives_ten() -> None:
    with serving() as api:
        for number in range(12):
            api.created(amount=str(number + 1))
        answer = api.http.get(f"/{RECURRING}")
    assert [row["amount"] for row in answer.json()["recurringPaymentData"]] == [
        str(n) for n in range(12, 2, -1)
    ]


def test_creates_from_several_connections_at_once_are_all_stored() -> None:
    def create_some(url: str, first: int) -> None:
        with calling(url) as caller:
            for number in range(first, first + 5):
                caller.created(amount=str(number))

    with serving() as api, ThreadPoolExecutor(8) as clients:
        list(clients.map(create_some, [api.url] * 8, range(1, 41, 5)))
        assert sorted(map(int, api.stored_amounts())) == list(range(1, 41))
