"""The `/_sandbox/` paths, and the server as an object."""

import asyncio
from typing import Any

import httpx
import pytest

from billing.sandbox import traffic
from billing.sandbox.errors import FaultError
from billing.sandbox.server import SandboxServer
from tests.support.sandbox_calls import INVOICE, LINK, RECURRING, calling, serving


def test_faults_are_replaced_as_a_whole() -> None:
    with serving(faults={"500": 1, "list_order": "oldest"}) as api:
        assert api.control("GET", "faults") == {"500": "1", "list_order": "oldest"}
        assert api.control("PUT", "faults", {"503": "1:9"}) == {"503": "1:9"}
        assert api.create().status_code == 503
        assert api.control("PUT", "faults", {}) == {}
        assert api.create().status_code == 201


@pytest.mark.parametrize(
    ("method", "path", "body", "says"),
    [
        ("PUT", "faults", {"50": 1}, "unknown fault '50'"),
        ("PUT", "faults", {"500": 2}, "must be a number from 0 to 1"),
        ("PUT", "faults", [], "JSON object"),
        ("POST", "script", {"script": ["ok", "latency"]}, "is not allowed in a script"),
        ("POST", "script", {"script": "ok"}, "Expected"),
        ("POST", "script", {}, "Expected"),
        ("PUT", "keys", {"keys": "abc"}, "Expected"),
        ("PUT", "keys", {"keys": [1]}, "Expected"),
        ("PUT", "keys", {"keys": []}, "Expected"),
        ("PUT", "keys", {}, "Expected"),
        ("PUT", "recording", {"on": 1}, "Expected"),
    ],
)
def test_a_bad_order_is_refused_and_changes_nothing(method: str, path: str, body: Any, says: str) -> None:
    with serving(faults={"429": 1}, script=["503"]) as api:
        answer = api.http.request(method, f"/_sandbox/{path}", json=body)
        assert answer.status_code == 400
        assert says in answer.json()["message"]
        assert [api.create().status_code for _ in range(2)] == [503, 429]


def test_a_control_body_that_is_not_json_is_refused() -> None:
    with serving() as api:
        assert api.http.put("/_sandbox/faults", content=b"{").status_code == 400


def test_an_unknown_control_path_names_the_known_ones() -> None:
    with serving() as api:
        answer = api.http.get("/_sandbox/fault")
    assert answer.status_code == 404
    assert "faults, script, keys, renewals, records, requests, recording, reset" in answer.json()["message"]


def test_control_paths_need_no_headers() -> None:
    with serving(api_keys=["secret"]) as api:
        del api.http.headers["apikey"], api.http.headers["businessid"]
        assert api.http.get("/_sandbox/records").json() == {"records": []}


@pytest.mark.parametrize("resource", [RECURRING, LINK, INVOICE])
def test_a_record_can_be_paid_and_unpaid_by_hand(resource: str) -> None:
    with serving() as api:
        record_id = api.created(resource)
        assert api.control("POST", f"pay/{record_id}")["status"] == "paid"
        assert api.stored()[0]["status"] == "paid"
        assert api.control("POST", f"unpay/{record_id}")["status"] == "unpaid"
        assert api.stored()[0]["status"] == "unpaid"
        assert api.http.post("/_sandbox/pay/nobody").status_code == 404


def test_the_records_of_all_businesses_are_shown_with_what_the_api_keeps_to_itself() -> None:
    with serving() as api:
        first = api.created()
        api.http.headers["businessid"] = "biz-2"
        second = api.created(LINK)
        shown = api.stored()
    assert [
        (record["id"], record["resource"], record["businessId"], record["businessName"]) for record in shown
    ] == [
        (first, RECURRING, "biz-1", "Acme"),
        (second, LINK, "biz-2", None),
    ]
    assert set(shown[0]) >= {"status", "createdAt", "changedAt", "deletedAt", "data"}
    assert shown[0]["data"]["recurringPaymentId"] == first


def test_requests_are_counted_by_resource_call_and_status() -> None:
    with serving() as api:
        record_id = api.created()
        api.get(record_id)
        api.get("nobody")
        api.listing()
        api.create(INVOICE, amount="-1")
        counts = api.control("GET", "requests")["counts"]
    assert counts == {
        RECURRING: {"create": {"201": 1}, "get": {"200": 1, "404": 1}, "list": {"200": 1}},
        INVOICE: {"create": {"400": 1}},
    }


def test_requests_are_recorded_when_asked_for_with_the_key_masked() -> None:
    with serving(script=["ok", "cut_before_commit"]) as api:
        api.create(amount="1")
        assert api.control("PUT", "recording", {"on": True}) == {"on": True}
        with pytest.raises(httpx.TransportError):
            api.create(amount="2")
        api.http.get("/nowhere?a=%20b")
        api.control("PUT", "recording", {"on": False})
        api.create(amount="3")
        create, nowhere = api.control("GET", "requests")["requests"]
    assert (create["method"], create["path"]) == ("POST", f"/{RECURRING}/create?businessName=Acme")
    assert ["apikey", "***"] in create["headers"]
    assert ["businessid", "biz-1"] in create["headers"]
    assert "test-key" not in str(create)
    assert '"amount":"2"' in create["body"].replace(" ", "")
    assert (nowhere["method"], nowhere["path"], nowhere["body"]) == ("GET", "/nowhere?a=%20b", "")


def test_only_the_latest_requests_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert traffic.KEPT_REQUESTS == 10_000
    monkeypatch.setattr(traffic, "KEPT_REQUESTS", 3)
    with serving() as api:
        api.control("PUT", "recording", {"on": True})
        for number in range(5):
            api.http.get(f"/{number}")
        kept = api.control("GET", "requests")["requests"]
    assert [request["path"] for request in kept] == ["/2", "/3", "/4"]


def test_reset_goes_back_to_how_the_sandbox_was_started() -> None:
    with serving(faults={"429": 0.5}, script=["500"], api_keys=["test-key"], seed=3) as api:

        def some_creates() -> list[int]:
            return [api.create().status_code for _ in range(20)]

        first = some_creates()
        api.control("PUT", "faults", {"503": 1})
        api.control("PUT", "keys", {"keys": ["other"]})
        api.control("POST", "reset")
        assert api.stored() == []
        assert api.counts() == {}
        assert api.listed_amounts() == []
        assert some_creates() == first
        assert {500, 429, 201} == set(first)


def test_the_server_as_an_object_shows_its_records() -> None:
    async def story() -> None:
        async with SandboxServer(faults={"list_cap": 1}) as server:

            def client() -> str:
                with calling(server.url) as api:
                    return api.created(amount="3")

            record_id = await asyncio.to_thread(client)
            (record,) = server.records()
            assert (record["id"], record["data"]["amount"]) == (record_id, "3")
            server.reset()
            assert server.records() == []

    asyncio.run(story())


def test_a_server_cannot_be_made_with_a_bad_order() -> None:
    with pytest.raises(FaultError):
        SandboxServer(faults={"nope": 1})
    with pytest.raises(FaultError):
        SandboxServer(script=["nope"])


def test_two_servers_live_side_by_side() -> None:
    with serving() as one, serving() as other:
        one.created()
        assert (len(one.stored()), len(other.stored())) == (1, 0)
