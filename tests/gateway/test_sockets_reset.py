"""What was given up must not arrive later: connections are reset, so that the kernel drops what it holds."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from billing.core.outcomes import OutcomeKind
from billing.gateway import MilestonGateway
from billing.gateway.sockets import SendGuard, Sockets
from tests.gateway.test_wire_tls import Certificate
from tests.support.scripted_api import BUSINESS_ID, KEY, LATER, NOW, payment, run_script, settings

# More than the other end takes, and little enough to lie whole in our own kernel.
LONG = "x" * 40_000
SMALL_WINDOW_BYTES = 4096
NETWORK_AWAY = Path(__file__).with_name("network_away.py")


class BusyServer:
    """Accepts one connection, and reads nothing of it until `read_all`."""

    def __init__(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        self._listener = listener
        self._tls = tls

    def accept(self) -> None:
        self._connection = self._listener.accept()[0]
        if self._tls is not None:  # what follows the handshake is counted as it comes, encrypted
            secured = self._tls.wrap_socket(self._connection, server_side=True)
            self._connection = socket.socket(fileno=secured.detach())

    def read_all(self) -> tuple[int, type[Exception] | None]:
        """How many bytes came, and with which error the connection ended."""
        size = 0
        with self._connection as connection:
            connection.settimeout(10)
            try:
                while data := connection.recv(65_536):
                    size += len(data)
            except OSError as error:
                return size, type(error)
        return size, None


async def give_up_a_create(gateway: MilestonGateway, server: BusyServer, cancel: bool) -> None:
    """By cancelling it, or by its time limit."""
    accepted = asyncio.get_running_loop().run_in_executor(None, server.accept)
    creating = asyncio.create_task(gateway.create(payment(plan=LONG), LATER))
    await accepted
    if cancel:
        await asyncio.sleep(0.2)
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
    else:
        assert (await creating).kind is OutcomeKind.UNKNOWN


@pytest.mark.parametrize("cancel", [False, True], ids=["time limit", "cancelled"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_the_other_end_had_no_room_for_is_never_delivered(
    scheme: str, cancel: bool, tmp_path: Path
) -> None:
    certificate = Certificate(tmp_path, "IP:127.0.0.1") if scheme == "https" else None

    async def scene(listener: socket.socket) -> tuple[int, type[Exception] | None]:
        url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/recurring-payment"
        async with MilestonGateway(
            settings(url, timeout_seconds=1),
            "Example",
            lambda: (KEY, BUSINESS_ID),
            lambda: NOW,
            ssl_context=certificate.trusting if certificate else None,
        ) as gateway:
            server = BusyServer(listener, certificate.server if certificate else None)
            await give_up_a_create(gateway, server, cancel)
            return await asyncio.get_running_loop().run_in_executor(None, server.read_all)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW_BYTES)
        size, error = asyncio.run(scene(listener))

    assert size < len(LONG)
    assert error is ConnectionResetError


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux alone has this limit")
def test_the_kernel_gives_up_by_itself_when_the_process_cannot() -> None:
    async def scene(_: object) -> int:
        sockets = Sockets()
        sockets.guard = SendGuard(lambda: NOW)
        stream = await sockets.connect_tcp("127.0.0.1", api.port)
        limit: int = stream.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        await stream.aclose()
        return limit

    api, run = run_script()
    assert run(scene) == 30_000


def has_networks_of_its_own() -> bool:
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        return False
    return subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not has_networks_of_its_own(), reason="only root can take a network away")
def test_a_create_that_was_written_as_the_network_went_away_never_arrives() -> None:
    """Not after its time limit, and not after its process was killed."""
    command = ["unshare", "--net", sys.executable, str(NETWORK_AWAY)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    told = json.loads(done.stdout)
    assert told["before"] == ["given up", "killed", "plain"]
    assert told["outcome"] == OutcomeKind.UNKNOWN
    # The plain socket shows that its bytes did wait in the kernel for the network to come back.
    assert told["after"] == ["given up", "killed", "plain", "plain"]
