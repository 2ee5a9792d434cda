"""Every fault: what the client gets to see, and what is stored all the same."""

import asyncio
import json
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from billing.sandbox.misbehave import Answer, LateCommits
from tests.support.sandbox_calls import INVOICE, LINK, RECURRING, Caller, eventually, serving

AGES = 86_400  # seconds that no test waits for


def amounts_in(data: Path) -> list[str]:
    return [json.loads(line)["fields"]["amount"] for line in data.read_text().splitlines()]


@pytest.mark.parametrize(
    ("fault", "status", "retry_after"),
    [("500", 500, None), ("503", 503, "1"), ("503:7", 503, "7"), ("429", 429, "1"), ("429:0", 429, "0")],
)
def test_a_failing_create_stores_nothing(fault: str, status: int, retry_after: str | None) -> None:
    with serving(script=[fault]) as api:
        answer = api.create()
        assert api.stored() == []
        assert api.create().status_code == 201
        assert api.counts() == {"create": {str(status): 1, "201": 1}}
    assert answer.status_code == answer.json()["statusCode"] == status
    assert answer.json()["message"]
    assert answer.headers.get("retry-after") == retry_after


def test_cut_before_commit_aborts_the_connection_and_stores_nothing() -> None:
    with serving(script=["cut_before_commit"]) as api:
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            api.create()
        assert api.stored() == []
        assert api.counts() == {"create": {"cut": 1}}


def test_cut_after_commit_aborts_the_connection_though_the_record_is_stored() -> None:
    with serving(script=["cut_after_commit"]) as api:
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            api.create()
        assert api.stored_amounts() == ["12.50"]
        assert api.counts() == {"create": {"cut": 1}}


def test_a_cut_connection_is_reset_without_one_byte_of_an_answer() -> None:
    head = b"POST /payment-link/create HTTP/1.1\r\nHost: x\r\napikey: k\r\nbusinessid: b\r\n"
    head += b'Content-Type: application/json\r\nContent-Length: 14\r\n\r\n{"amount":"1"}'
    with serving(faults={"cut_after_commit": 1}) as api:
        address = urlsplit(api.url)
        with socket.create_connection((address.hostname, address.port), timeout=10) as wire:
            wire.sendall(head)
            with pytest.raises(ConnectionResetError):
                wire.recv(1)


def test_slow_drip_gives_the_right_answer_byte_by_byte() -> None:
    with serving(script=["slow_drip:0", f"slow_drip:{AGES}"]) as api:
        whole = api.create()
        assert whole.status_code == 201
        assert whole.json()["recurringPaymentData"]["amount"] == "12.50"
        with api.http.stream("POST", f"/{LINK}/create", json={"amount": "7"}, timeout=0.3) as answer:
            body = answer.iter_raw()
            seen = next(body)
            with pytest.raises(httpx.ReadTimeout):
                next(body)
        assert answer.status_code == 201
        assert seen == b"{"
        assert api.stored_amounts() == ["12.50", "7"]


def test_garbage_is_a_200_that_is_not_json_though_the_record_is_stored() -> None:
    with serving(script=["garbage"]) as api:
        answer = api.create()
        assert api.stored_amounts() == ["12.50"]
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    with pytest.raises(ValueError, match="Expecting value"):
        answer.json()


def test_huge_is_the_right_answer_in_a_body_of_many_mebibytes() -> None:
    with serving(script=["huge:3", "huge"]) as api:
        answer = api.create()
        assert len(answer.content) == 3 * 2**20
        assert answer.json()["recurringPaymentData"]["recurringPaymentId"] == api.stored()[0]["id"]
        path = f"/{LINK}/create"
        with api.http.stream("POST", path, json={"amount": "7"}) as answer:  # and hang up without reading on
            assert answer.headers["content-length"] == str(64 * 2**20)
        assert api.stored_amounts() == ["12.50", "7"]
        assert api.create().status_code == 201


def test_late_commit_answers_504_and_stores_the_record_once_afterwards(tmp_path: Path) -> None:
    data = tmp_path / "records.jsonl"
    with serving(data=data, script=["late_commit:0.05"]) as api:
        answer = api.create()
        assert (answer.status_code, answer.json()["statusCode"]) == (504, 504)
        assert eventually(lambda: api.stored_amounts() == ["12.50"])
        assert api.listed_amounts() == ["12.50"]
    assert amounts_in(data) == ["12.50"]


def test_late_commits_that_are_pending_at_a_clean_shutdown_are_stored_in_order(tmp_path: Path) -> None:
    data = tmp_path / "records.jsonl"
    with serving(data=data, faults={"late_commit": f"1:{AGES}"}) as api:
        assert [api.create(amount=amount).status_code for amount in ("1", "2", "3")] == [504] * 3
        assert api.stored() == []
        assert amounts_in(data) == []
    assert amounts_in(data) == ["1", "2", "3"]


def test_late_commits_that_are_forgotten_never_happen(caplog: pytest.LogCaptureFixture) -> None:
    committed: list[str] = []

    def commit(name: str) -> Answer:
        committed.append(name)
        return Answer(201, {})

    async def story() -> None:
        late = LateCommits()
        late.schedule(0, lambda: commit("forgotten"))
        late.forget()
        late.schedule(0, lambda: commit("kept"))
        await asyncio.sleep(0.01)
        late.commit_now()

    asyncio.run(story())
    assert committed == ["kept"]
    assert caplog.records == []  # where the event loop would tell of an error in a timer


def test_reset_forgets_late_commits(tmp_path: Path) -> None:
    data = tmp_path / "records.jsonl"
    with serving(data=data, script=[f"late_commit:{AGES}"]) as api:
        api.create()
        api.control("POST", "reset")
    assert amounts_in(data) == []


@pytest.mark.parametrize(("sent", "echoed"), [("12.50", "13.50"), ("0.000001", "1.000001"), ("999", "1000")])
def test_wrong_echo_stores_the_amount_and_answers_another(sent: str, echoed: str) -> None:
    with serving(script=["wrong_echo"]) as api:
        answer = api.create(amount=sent)
        record = answer.json()["recurringPaymentData"]
        assert (answer.status_code, record["amount"]) == (201, echoed)
        assert api.get(record["recurringPaymentId"]).json()["recurringPaymentData"]["amount"] == sent


def test_stale_list_shows_the_state_of_some_time_ago() -> None:
    with serving(faults={"stale_list": f"1:{AGES}"}) as api:
        record_id = api.created()
        assert api.listed_amounts() == []
        assert api.get(record_id).status_code == 200
        api.control("PUT", "faults", {"stale_list": "1:0"})
        assert api.listed_amounts() == ["12.50"]
        api.control("PUT", "faults", {"stale_list": f"0:{AGES}"})
        assert api.listed_amounts() == ["12.50"]


def test_list_order_decides_what_a_short_list_shows() -> None:
    amounts = [str(number) for number in range(1, 21)]
    with serving(faults={"list_order": "oldest"}) as api:
        for amount in amounts:
            api.created(amount=amount)
        assert api.listed_amounts(3) == ["1", "2", "3"]
        api.control("PUT", "faults", {})
        assert api.listed_amounts(3) == ["20", "19", "18"]
        api.control("PUT", "faults", {"list_order": "random"})
        first, second = api.listed_amounts(), api.listed_amounts()
        assert sorted(first) == sorted(second) == sorted(amounts)
        assert first != second
        assert len(set(api.listed_amounts(3))) == 3


def test_list_cap_shortens_every_list_without_telling() -> None:
    with serving(faults={"list_cap": 2}) as api:
        for amount in ("1", "2", "3"):
            api.created(amount=amount)
        answer = api.listing(100)
        assert api.listed_amounts(1) == ["3"]
    assert answer.status_code == 200
    assert set(answer.json()) == {"statusCode", "message", "recurringPaymentData"}
    assert [row["amount"] for row in answer.json()["recurringPaymentData"]] == ["3", "2"]


def test_latency_delays_every_call_of_the_api_but_no_control_path() -> None:
    with serving() as api:
        record_id = api.created()
        api.control("PUT", "faults", {"latency": AGES // 100})
        api.http.timeout = httpx.Timeout(5, read=0.1)
        calls: tuple[Callable[[], object], ...] = (
            api.create,
            lambda: api.get(record_id),
            api.listing,
            lambda: api.update(record_id, amount="1"),
            lambda: api.delete(record_id),
        )
        for call in calls:
            with pytest.raises(httpx.ReadTimeout):
                call()
        api.http.timeout = httpx.Timeout(10)
        assert api.control("GET", "faults") == {"latency": "864-864"}


def a_call(api: Caller, call: str, record_id: str) -> httpx.Response:
    match call:
        case "get":
            return api.get(record_id)
        case "list":
            return api.listing()
        case "update":
            return api.update(record_id, amount="7")
    return api.delete(record_id)


@pytest.mark.parametrize("call", ["get", "list", "update", "delete"])
def test_other_calls_can_fail_and_then_leave_the_record_alone(call: str) -> None:
    with serving() as api:
        record_id = api.created()
        before = api.stored()
        for fault, status, retry_after in (("500", 500, None), ("503", 503, "1"), ("429", 429, "1")):
            api.control("PUT", "faults", {f"{call}.{fault}": 1})
            answer = a_call(api, call, record_id)
            assert (answer.status_code, answer.headers.get("retry-after")) == (status, retry_after)
            assert api.create(INVOICE).status_code == 201  # faults of one call do not befall another
        api.control("PUT", "faults", {f"{call}.cut-before-commit": 1})
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            a_call(api, call, record_id)
        assert api.stored()[:1] == before
        assert api.counts()[call] == {"429": 1, "500": 1, "503": 1, "cut": 1}


@pytest.mark.parametrize("fault", ["cut_after_commit", "garbage", "slow_drip"])
@pytest.mark.parametrize("call", ["get", "list", "update", "delete"])
def test_other_calls_can_take_effect_though_their_answer_is_lost(call: str, fault: str) -> None:
    with serving() as api:
        record_id = api.created()
        api.control("PUT", "faults", {f"{call}.{fault}": "1:0" if fault == "slow_drip" else 1})
        if fault == "cut_after_commit":
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
                a_call(api, call, record_id)
        else:
            assert a_call(api, call, record_id).status_code == 200
        (kept,) = api.stored()
    assert kept["data"]["amount"] == ("7" if call == "update" else "12.50")
    assert (kept["deletedAt"] is not None) == (call == "delete")


def test_faults_befall_all_three_resources() -> None:
    with serving(faults={"500": 1}) as api:
        assert [api.create(resource).status_code for resource in (RECURRING, LINK, INVOICE)] == [500] * 3


def test_a_script_is_handed_out_word_by_word_before_the_rates_count() -> None:
    with serving(script=["ok", "500", "ok"], faults={"503": 1}) as api:
        assert [api.create().status_code for _ in range(5)] == [201, 500, 201, 503, 503]
        api.control("POST", "script", {"script": ["500", "500"]})
        assert api.control("POST", "script", {"script": ["429", "ok"]}) == {"left": 2}
        assert [api.create().status_code for _ in range(3)] == [429, 201, 503]
        assert api.control("GET", "script") == {"left": 0}


def test_a_script_is_for_creates_alone() -> None:
    with serving(script=["500"]) as api:
        assert api.listing().status_code == 200
        assert api.create().status_code == 500


def test_the_same_seed_repeats_a_run_and_another_one_does_not() -> None:
    def outcomes(seed: int, lists_between: int) -> list[int]:
        with serving(faults={"500": 0.3, "429": 0.2, "list.503": 0.5}, seed=seed) as api:
            statuses = []
            for _ in range(40):
                statuses.append(api.create().status_code)
                for _ in range(lists_between):
                    api.listing(1)
            return statuses

    first = outcomes(seed=1, lists_between=0)
    assert set(first) == {201, 500, 429}
    assert outcomes(seed=1, lists_between=1) == first
    assert outcomes(seed=2, lists_between=0) != first


def test_beyond_its_calls_a_second_it_asks_to_slow_down() -> None:
    with serving(faults={"per_second": "3"}) as api:
        answers = [api.create() for _ in range(12)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert 3 <= len(answers) - len(refused) <= 9  # of three seconds at most
    assert {answer.headers["Retry-After"] for answer in refused} == {"1"}
