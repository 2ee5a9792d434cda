"""The pages over real sockets."""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import datetime

import pytest
from sqlalchemy import text

from billing.app.metrics import Metrics
from billing.config.schema import Watch
from billing.errors import ConfigError
from billing.web.pages import pages
from billing.web.server import Answer, Pages, serving
from tests.support.business import Business

HELLO: Pages = {"/hello": lambda: Answer(200, "text/plain", b"hello\n")}


def get(url: str, method: str = "GET") -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def of(business: Business, trouble: str = "", late: str = "") -> Pages:
    def when(_now: datetime) -> str:
        return late

    return pages(lambda: business.config, Metrics(), lambda: trouble, when)


def test_get_head_and_what_there_is_not() -> None:
    with serving("127.0.0.1:0", HELLO) as url:
        assert get(f"{url}/hello?now=1") == (200, b"hello\n")
        assert get(f"{url}/hello", "HEAD") == (200, b"")
        assert get(f"{url}/") == (404, b"no such page; there are /hello\n")
        assert get(f"{url}/hello", "POST")[0] == 501


def test_a_page_that_breaks_is_logged_and_answers_500(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Answer:
        raise RuntimeError("nobody@example.org")

    with serving("127.0.0.1:0", {"/broken": broken}) as url:
        status, body = get(f"{url}/broken")
    assert status == 500
    assert b"nobody" not in body
    assert "the page /broken failed" in caplog.text


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:9464", "192.0.2.1:9464", "example.org:80", "127.0.0.1", "127.0.0.1:99999"]
)
def test_only_loopback_is_served(listen: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        Watch(listen=listen)


@pytest.mark.parametrize("listen", ["", "127.0.0.1:9464", "localhost:1", "[::1]:9464", "127.8.8.8:0"])
def test_loopback_in_all_its_forms_is_accepted(listen: str) -> None:
    assert Watch(listen=listen).listen == listen


def test_a_port_that_is_taken_is_a_fault_of_the_configuration() -> None:
    with (
        serving("127.0.0.1:0", HELLO) as url,
        pytest.raises(ConfigError, match=r"watch\.listen"),
        serving(url.removeprefix("http://"), HELLO),
    ):
        raise AssertionError("two on one port")


def test_a_client_that_says_nothing_keeps_nobody_waiting() -> None:
    with serving("127.0.0.1:0", HELLO) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        silent = [socket.create_connection((host, int(port))) for _ in range(20)]
        try:
            assert get(f"{url}/hello")[0] == 200
        finally:
            for connection in silent:
                connection.close()


def test_too_many_at_once_are_sent_away() -> None:
    busy, go = threading.Barrier(9), threading.Event()

    def slow() -> Answer:
        busy.wait(30)
        go.wait(30)
        return Answer(200, "text/plain", b"")

    with serving("127.0.0.1:0", {"/slow": slow, **HELLO}) as url:
        clients = [threading.Thread(target=get, args=(f"{url}/slow",)) for _ in range(8)]
        for client in clients:
            client.start()
        busy.wait(30)
        assert get(f"{url}/hello")[0] == 503
        go.set()
        for client in clients:
            client.join(30)
        assert get(f"{url}/hello")[0] == 200


def page(served: Pages, path: str) -> tuple[int, dict[str, object]]:
    answer = served[path]()
    return answer.status, json.loads(answer.body)


def test_healthz_is_about_the_process_alone(business: Business) -> None:
    assert page(of(business), "/healthz") == (200, {"healthy": True, "trouble": ""})
    status, document = page(of(business, trouble="no progress for 700 s"), "/healthz")
    assert (status, document["trouble"]) == (503, "no progress for 700 s")


def test_readyz_wants_the_database_its_schema_and_a_last_tick(business: Business) -> None:
    nothing_yet = page(of(business), "/readyz")
    assert not (business.folder / "var").exists()  # asking makes nothing
    business.run("2026-03-01")
    ready = page(of(business), "/readyz")
    late = page(of(business, late="the last tick is too old"), "/readyz")
    with business.store() as db, db.transaction() as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    older = page(of(business), "/readyz")

    assert nothing_yet[0] == 503
    assert ready == (200, {"ready": True, "database": "ok", "schema": "ok", "last_tick": "ok"})
    assert (late[0], late[1]["last_tick"]) == (503, "the last tick is too old")
    assert (older[0], older[1]["database"]) == (503, "ok")
    assert "0000" in str(older[1]["schema"])


def test_readyz_does_not_depend_on_the_payments_api(new_business: Callable[..., Business]) -> None:
    business = new_business()
    business.run("2026-03-01")
    business.environ["BILLING_MILESTON__RECURRING_PAYMENT_URL"] = "http://127.0.0.1:9/recurring-payment"
    assert page(of(business), "/readyz")[0] == 200


def test_metrics_answer_without_a_database(business: Business) -> None:
    answer = of(business)["/metrics"]()
    assert answer.status == 200
    assert b"billing_database_up 0.0" in answer.body
    assert b"billing_cycles_total" in answer.body
