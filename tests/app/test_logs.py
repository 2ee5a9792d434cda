"""Secrets and addresses are planted wherever a program logs; then all output is searched for them."""

from __future__ import annotations

import base64
import json
import logging
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from billing.app.logs import JsonLines
from tests.support.business import Business
from tests.support.nursery import ROOT, Finished

KEY = "key/live+4711=SECRET"
BUSINESS = "business-SECRET-4711"
PASSWORD = "smtp pass: 'SECRET' \\ 4711"
DATABASE_PASSWORD = "db-SECRET-4711"
PING = "0c6a8f3e-ping-SECRET"
ADDRESSES = (
    "zoe.quillfeather@example.org",
    "user@localhost",
    "o'hara@example.com",
    '"odd one"@example.net',
    "percent%40example.org",
    "ünïcode@exämple.org",
    "tagged+plus@sub.domain.example.co.uk",
)
PLANTED = (
    KEY,
    quote(KEY, safe=""),
    BUSINESS,
    PASSWORD,
    base64.b64encode(PASSWORD.encode()).decode(),
    json.dumps(PASSWORD)[1:-1],
    DATABASE_PASSWORD,
    PING,
    *ADDRESSES,
)
# What would betray one of them even in pieces.
TRACES = ("SECRET", "quillfeather", "user@", "hara@", "odd one", "%40", "exämple", "tagged")

_EVERYWHERE = """
import asyncio, gc, logging, sys, threading, warnings
from pathlib import Path
early = logging.getLogger("library.of.old")
early.addHandler(logging.StreamHandler(sys.stdout))
early.propagate = False
from billing.app.logs import set_up
from billing.config import load_config
set_up(load_config(Path(sys.argv[1])), long_running=True)
planted = sys.argv[2:]
log = logging.getLogger("billing.test")
own = logging.getLogger("library.with.a.handler.of.its.own")
own.propagate = False
handler = logging.StreamHandler(sys.stdout)
handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
own.addHandler(handler)
own.setLevel(logging.DEBUG)
for logger in (log, own, early):
    for secret in planted:
        logger.error("plain " + secret)
        logger.error("argument %s and %r", secret, [secret])
        logger.error("by name %(it)s", {"it": secret})
        logger.error("too few %s %s", secret)
        logger.error("extra", extra={"run_id": secret, "email": secret, "payment_id": [secret]})
        logger.error("stack", stack_info=True)
        logger.handle(logging.makeLogRecord({"msg": "made " + secret, "levelno": 40, "email": secret}))
        try:
            try:
                raise ValueError(secret)
            except ValueError as inner:
                inner.add_note("a note " + secret)
                raise ExceptionGroup("several " + secret, [KeyError(secret)]) from inner
        except ExceptionGroup:
            logger.exception("an exception")
for secret in planted:
    warnings.warn("a warning " + secret)
    def thread(secret=secret):
        raise RuntimeError("in a thread " + secret)
    t = threading.Thread(target=thread); t.start(); t.join()
    class Unraisable:
        def __del__(self, secret=secret):
            raise RuntimeError("unraisable " + secret)
    Unraisable(); gc.collect()
    async def forgotten(secret=secret):
        async def fail(): raise RuntimeError("in a task " + secret)
        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        del task
        gc.collect()
    asyncio.run(forgotten())
raise RuntimeError("nobody catches " + " ".join(planted))
"""


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(
        f'[watch]\nlog_level = "debug"\nping_url = "https://monitor.example/{PING}"\n'
        f'[database]\nurl = "postgresql://billing:{DATABASE_PASSWORD}@localhost/billing"\n'
    )
    return path


def test_nothing_planted_anywhere_reaches_any_output(toml: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _EVERYWHERE, str(toml), *PLANTED],
        env={"MILESTON_API_KEY": KEY, "MILESTON_BUSINESS_ID": BUSINESS, "BILLING_SMTP_PASSWORD": PASSWORD},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    output = done.stdout + done.stderr

    assert done.returncode == 1
    assert [secret for secret in PLANTED if secret in output] == []
    assert [trace for trace in TRACES if trace in output] == []
    # All of it was logged, though, and as JSON lines on stderr.
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    messages = [line["message"] for line in lines]
    for words in ("plain ****", "argument **** and ['****']", "by name ****", "a warning ****"):
        assert any(words in message for message in messages), words
    traces = " ".join(line.get("trace", "") for line in lines)
    for words in (
        "in a thread ****",
        "unraisable ****",
        "in a task ****",
        "nobody catches ****",
        "a note <address>",
    ):
        assert words in traces
    assert "plain ****" in done.stdout  # the library's own handler got clean words, too
    assert "--- Logging error ---" not in output


class Grumbling:
    """A mail server that repeats everything it is told in its refusals."""

    async def handle_RCPT(self, server, session, envelope, address, options):  # type: ignore[no-untyped-def]
        return f"550 5.1.1 <{address}> unknown; mailbox {address.partition('@')[0]} of Zoë not here"


@pytest.fixture
def grumbling_server() -> Iterator[Controller]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(
        Grumbling(),
        hostname="127.0.0.1",
        port=port,
        auth_require_tls=False,
        authenticator=lambda *_: AuthResult(success=True),
    )
    controller.start()
    yield controller
    controller.stop()


def test_a_run_in_which_everything_goes_wrong_betrays_nobody(
    business: Business, grumbling_server: Controller, billing: Callable[..., Finished]
) -> None:
    header = "reference,plan,name,email,amount,interval,starts_on,wallet_address,company,tax_id,address"
    wallet = "0xSECRETwalletOfZoe0123456789"
    buyer = "Quillfeather Ltd,SECRET123,Quillfeather Lane 1"
    business.subscribe(
        f"zoe,Gold,Zoë Quillfeather,zoe.quillfeather@example.org,5,1 month,2026-03-01,{wallet},{buyer}",
        f"al,Gold,Al Quillfeather,al.quillfeather@example.org,5,1 month,2026-03-01,{wallet},{buyer}",
        header=header,
    )
    business.sandbox.script("500", "ok")
    settings = {
        "MILESTON_API_KEY": KEY,
        "BILLING_SMTP_PASSWORD": PASSWORD,
        "BILLING_MAIL__TRANSPORT": "smtp",
        "BILLING_MAIL__SMTP_HOST": "127.0.0.1",
        "BILLING_MAIL__SMTP_PORT": str(grumbling_server.port),
        "BILLING_MAIL__SMTP_TLS": "none",
        "BILLING_MAIL__SMTP_USERNAME": "billing",
        "BILLING_WATCH__LOG_LEVEL": "debug",
        "BILLING_BUSINESS__OPERATOR_ADDRESS": "operator@example.org",
    }
    done = billing(business, "run-once", "--quiet", "--as-of", "2026-03-01", **settings)
    refused = billing(
        business,
        "run-once",
        "--quiet",
        "--as-of",
        "2026-03-02",
        **{**settings, "MILESTON_API_KEY": "bad\x7fkey-SECRET"},
    )

    assert (done.returncode, refused.returncode) == (1, 78)
    output = done.stdout + done.stderr + refused.stdout + refused.stderr
    assert "550" in output  # the page tells what the mail server said
    found = [
        trace for trace in ("SECRET", "uillfeather", "operator@", wallet, business.id) if trace in output
    ]
    assert found == []


def test_a_json_line_holds_harmless_fields_alone() -> None:
    record = logging.makeLogRecord({"msg": "created", "payment_id": 7, "run_id": "run-1", "payer": "Zoë"})
    line = json.loads(JsonLines().format(record))
    assert line.keys() == {"at", "level", "logger", "message", "payment_id", "run_id"}
    assert (line["payment_id"], line["run_id"]) == (7, "run-1")
