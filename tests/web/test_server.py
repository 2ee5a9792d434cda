"""The pages over real sockets."""

from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request

import pytest

from billing.config.schema import Watch
from billing.errors import ConfigError
from billing.web.server import Answer, Pages, serving

HELLO: Pages = {"/hello": lambda: Answer(200, "text/plain", b"hello\n")}


def get(url: str, method: str = "GET") -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


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
