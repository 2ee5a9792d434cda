"""The doctor tells a clock that is not the API's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from billing.app.doctor import examine
from billing.app.mileston_check import Finding
from billing.app.runtime import utc_now
from tests.support.business import Business


@contextmanager
def api_whose_clock_is(ahead: timedelta) -> Iterator[str]:
    """The address of an API that knows no payments."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"recurringPaymentData": []}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return format_datetime(datetime.now(UTC) + ahead, usegmt=True)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/recurring-payment"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("ahead", "seconds", "direction"),
    [
        (timedelta(), 0, ""),
        (timedelta(seconds=90), 0, ""),
        (timedelta(minutes=5), 300, "behind Mileston's"),
        (timedelta(hours=-2), 7200, "ahead of Mileston's"),
    ],
)
def test_a_clock_that_is_not_the_api_s_is_told(
    business: Business, monkeypatch: pytest.MonkeyPatch, ahead: timedelta, seconds: int, direction: str
) -> None:
    monkeypatch.setattr("billing.mail.check.check_templates", lambda *_, **__: [])
    business.toml.chmod(0o600)
    with api_whose_clock_is(ahead) as url:
        changes = {"BILLING_MILESTON__RECURRING_PAYMENT_URL": url, "BILLING_RECONCILE__QUIET_SECONDS": "300"}
        found = list(examine(business.toml, {**business.environ, **changes}, utc_now()))
    clock: list[Finding] = [finding for finding in found if finding.check == "clock"]
    faults = [finding for finding in clock if finding.ok is False]
    if seconds:
        assert [finding.advice for finding in faults] == ["set the clock: timedatectl set-ntp true"]
        words = faults[0].found.split("clock is ")[1].split(" s ")
        assert int(words[0]) == pytest.approx(seconds, abs=1)
        assert words[1].startswith(direction)
    else:
        assert faults == []
        assert "it agrees with the payments API's" in [finding.found for finding in clock]


def test_a_record_of_a_subscriber_without_our_number_is_shown(business: Business) -> None:
    business.toml.chmod(0o600)
    business.subscribe("ada,Gold,Ada,Ada@example.com,5,1 month,2026-03-01")
    business.run("2026-03-01")
    for email in ("ada@EXAMPLE.com", "bob@example.com"):
        business.sandbox.add_foreign(business.id, email)

    found = [each for each in examine(business.toml, business.environ, utc_now()) if each.ok is False]

    (line,) = [each for each in found if each.check == "remote payments"]
    (hers,) = [each for each in business.remote() if each["data"]["subscriberEmail"] == "ada@EXAMPLE.com"]
    assert line.found == (
        "1 record at Mileston has the e-mail address of a subscriber and no payment number of ours: "
        + hers["id"]
    )
    assert "--despite-mismatch" in line.advice
