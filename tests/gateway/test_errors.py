"""What a failed call says."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from billing.errors import GatewayError
from billing.gateway import (
    CallFailed,
    MilestonGateway,
    Unauthorized,
)
from tests.support.scripted_api import (
    EMAIL,
    Step,
    answer,
    raw,
    reply,
    run_script,
)


def test_a_delete_whose_body_reports_a_failure_is_an_error() -> None:
    _, run = run_script(reply(200, {"statusCode": 409, "message": "no"}))
    with pytest.raises(GatewayError, match="reports a failure"):
        run(lambda made: made.delete("rp_1"))


CALLS: list[Callable[[MilestonGateway], Awaitable[Any]]] = [
    lambda made: made.list(5),
    lambda made: made.get("rp_1"),
    lambda made: made.delete("rp_1"),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("status", [302, 400, 401, 403, 409, 422, 429, 500, 503])
def test_a_refused_call_says_what_and_why(
    call: Callable[[MilestonGateway], Awaitable[Any]], status: int
) -> None:
    _, run = run_script(reply(status, {"message": f"no, {EMAIL}"}, "Retry-After: 7\r\n"))
    with pytest.raises(CallFailed) as caught:
        run(call)
    error = caught.value
    assert (error.status, error.unauthorized) == (status, status == 401)
    assert isinstance(error, Unauthorized) is (status == 401)
    assert error.retry_after_seconds == (7.0 if status in (429, 503) else None)
    assert error.permanent is (status in (400, 401, 403, 404, 422))
    assert f"recurring payment: HTTP {status}" in str(error)
    assert EMAIL not in str(error)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "step",
    [
        raw(b""),
        raw(b"", then="reset"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1"),
        raw(answer(200, b" " * 2_000_000)),
    ],
)
def test_a_call_without_an_answer_fails(
    call: Callable[[MilestonGateway], Awaitable[Any]], step: Step
) -> None:
    _, run = run_script(step)
    with pytest.raises(GatewayError):
        run(call)
