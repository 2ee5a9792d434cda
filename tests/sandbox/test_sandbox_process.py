"""The sandbox as a process: what it prints, how it ends, and what survives being killed."""

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from billing.sandbox import running_url
from billing.sandbox.__main__ import main
from billing.sandbox.lock import lock_path
from tests.support.sandbox_calls import calling, process, serving


def test_it_prints_one_json_line_when_it_listens_and_ends_cleanly_on_sigterm(tmp_path: Path) -> None:
    data = tmp_path / "records.jsonl"
    with process("--data", str(data), "--script", "late_commit:3600,ok", "--latency-ms", "0-1") as (
        child,
        printed,
    ):
        assert printed == {"url": running_url(data), "pid": child.pid, "data": str(data)}
        with calling(printed["url"]) as api:
            assert [api.create().status_code for _ in range(2)] == [504, 201]
        child.send_signal(signal.SIGTERM)
        rest, messages = child.communicate(timeout=10)
        assert child.returncode == 0
    assert rest == ""
    assert messages == f"Mileston sandbox on {printed['url']} (records: {data}; stop it with Ctrl-C)\n"
    assert lock_path(data).read_text() == ""
    assert len(data.read_text().splitlines()) == 2


def test_sigint_ends_it_cleanly_and_the_url_can_be_printed_bare() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "billing.sandbox", "--print-url"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        assert child.stdout is not None
        url = child.stdout.readline().rstrip("\n")
        with calling(url) as api:
            assert api.create().status_code == 201
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=10) == 0


def test_killing_it_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    data = tmp_path / "records.jsonl"
    with process("--data", str(data)) as (child, printed), calling(printed["url"]) as api:
        answered = [api.created(amount=str(number + 1)) for number in range(50)]
        api.update(answered[0], amount="777")
        child.kill()
        child.wait()
    assert running_url(data) is None
    with serving(data=data) as api:
        assert [record["id"] for record in api.stored()] == answered
        assert api.stored_amounts()[:2] == ["777", "2"]


def test_it_ends_with_its_parent_when_asked_to() -> None:
    with process("--exit-with-parent") as (child, printed), calling(printed["url"]) as api:
        assert api.create().status_code == 201
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(timeout=10) == 0


def test_a_full_disk_is_a_500_and_leaves_only_whole_records(tmp_path: Path) -> None:
    data = tmp_path / "records.jsonl"

    def small_disk() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    with process("--data", str(data), preexec_fn=small_disk) as (_, printed), calling(printed["url"]) as api:
        answers = [api.create() for _ in range(10)]
        stored = [record["id"] for record in api.stored()]
    created = [answer for answer in answers if answer.status_code == 201]
    assert 0 < len(created) < 10
    assert {answer.status_code for answer in answers[len(created) :]} == {500}
    assert answers[-1].json() == {"statusCode": 500, "message": "Internal server error"}
    ids = [answer.json()["recurringPaymentData"]["recurringPaymentId"] for answer in created]
    assert stored == ids
    assert [json.loads(line)["id"] for line in data.read_text().splitlines()] == ids


def test_a_port_that_is_taken_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as api:
        port = api.http.base_url.port
        assert main(["--port", str(port)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == f"sandbox: port {port} on 127.0.0.1 is already taken\n"


def test_a_data_file_in_use_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "records.jsonl"
    with serving(data=data) as api:
        assert main(["--data", str(data)]) == 1
        assert (
            capsys.readouterr().err == f"sandbox: {data} is already in use by another sandbox at {api.url}\n"
        )


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.com", ""])
def test_it_listens_for_this_machine_alone(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--host", host]) == 1
    assert "only on loopback addresses" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2"])
def test_other_loopback_addresses_will_do(host: str) -> None:
    with serving(host=host) as api:
        assert api.create().status_code == 201


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--fault", "cut-aftr-commit=1"], "did you mean cut_after_commit?"),
        (["--fault", "500"], "'500' must be written NAME=VALUE"),
        (["--fault", "500=2"], "must be a number from 0 to 1"),
        (["--latency-ms", "fast"], "latency=fast: must be a number"),
        (["--script", "ok,,500"], "unknown fault ''"),
        (["--port", "70000"], "argument --port"),
        (["--port", "http"], "argument --port"),
        (["--seed", "x"], "argument --seed"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_wrong_arguments_are_usage_errors(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert says in capsys.readouterr().err


def test_help_names_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"], prog="billing sandbox serve")
    printed = capsys.readouterr().out
    assert end.value.code == 0
    assert printed.startswith("usage: billing sandbox serve ")
    assert "cut_after_commit" in printed


def test_finding_a_running_sandbox_does_not_load_the_server() -> None:
    loaded = "import sys, billing.sandbox; print(sorted({'aiohttp', 'jinja2', 'asyncio'} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert printed.stdout == "[]\n"
