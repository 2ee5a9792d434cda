"""The program's own sandbox, where its usual port is gone in the very moment it starts."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from billing.app import sandbox_host


def test_a_port_that_is_taken_between_the_look_and_the_start_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_host, "_is_free", lambda _port: True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(sandbox_host, "PORT", port)
        with sandbox_host.own_sandbox(tmp_path / "sandbox.jsonl") as url:
            assert url.startswith("http://127.0.0.1:")
            assert not url.endswith(f":{port}")
