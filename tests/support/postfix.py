"""A real mail server for the tests: Postfix on a loopback port, with its own configuration and queue.

    with Postfix(judge) as mta:
        ...  # deliver to mta.port, for anybody@example.com
        mta.kill(); mta.start()
        mta.wait_until_delivered()
    assert Counter(mta.recipients()) == ...

Nothing of an installed Postfix is touched. `judge` is asked about each recipient, in a thread of its own:
"DUNNO" lets it pass, "451 4.7.1 Greylisted" or "550 5.1.1 No such user" are said as they are.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from email import message_from_bytes
from pathlib import Path
from typing import Self

from tests.support.ports import free_port
from tests.support.watchdog import watch, watch_folder

_SEARCHED = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
_PATIENCE_SECONDS = 60.0

_MAIN = """
compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
maillog_file_prefixes = {base}
maillog_file = {base}/log
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.test
mydestination =
alias_maps =
virtual_mailbox_domains = example.com
virtual_mailbox_maps = static:inbox/
virtual_mailbox_base = {base}/mail
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:{judge_port}
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
smtpd_hard_error_limit = 100000
in_flow_delay = 0
"""

_MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup  unix n - n - 0 cleanup
qmgr     unix n - n 300 1 qmgr
rewrite  unix - - n - - trivial-rewrite
bounce   unix - - n - 0 bounce
defer    unix - - n - 0 bounce
trace    unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error    unix - - n - - error
retry    unix - - n - - error
virtual  unix - n n - - virtual
anvil    unix - - n - 1 anvil
postlog  unix-dgram n - n - 1 postlogd
"""


def why_no_mta() -> str:
    """Why no real mail server can be started here; empty if one can."""
    if shutil.which("postfix", path=_SEARCHED) is None:
        return "needs a real mail server: install the package postfix"
    if os.geteuid() != 0:
        return "Postfix starts as root only"
    return ""


class Postfix:
    """Runs while it is entered; everything it got lies in one maildir."""

    def __init__(self, judge: Callable[[str], str] = lambda recipient: "DUNNO") -> None:
        self._base = Path(tempfile.mkdtemp(prefix="mta-"))
        watch_folder(self._base)
        self._judge = PolicyServer(judge)
        self._pid = 0
        self.port = free_port()

    def __enter__(self) -> Self:
        try:
            self._configure()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        self._judge.close()
        shutil.rmtree(self._base, ignore_errors=True)

    def start(self) -> None:
        """Start, also after `kill`: what was in the queue is then delivered."""
        program = shutil.which("postfix", path=_SEARCHED) or "postfix"
        command = [program, "-c", str(self._base / "etc"), "start"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE_SECONDS)
        assert done.returncode == 0, f"Postfix did not start: {done.stderr}\n{self.log()}"
        self._pid = int((self._base / "queue/pid/master.pid").read_text())
        watch(self._pid, group=True)
        self._wait(self._greets, "greeting")

    def kill(self) -> None:
        """Kill it with all its processes, in the middle of whatever they do."""
        if not self._pid:
            return
        os.killpg(self._pid, signal.SIGKILL)  # it leads a process group of its own
        self._wait(lambda: not _group_exists(self._pid), "its end")
        self._pid = 0

    def recipients(self) -> list[str]:
        """To whom the messages were addressed that it accepted and delivered."""
        return [str(message_from_bytes(raw)["Delivered-To"]) for raw in self.messages()]

    def messages(self) -> list[bytes]:
        """Each message that was accepted, once.

        A server that is killed between a delivery and its note of it delivers again when it is restarted;
        that is no second acceptance, and both copies show the same queue id.
        """
        paths = (self._base / "mail/inbox/new").glob("*")
        return list({_queue_id(raw): raw for raw in (path.read_bytes() for path in paths)}.values())

    def wait_until_delivered(self) -> None:
        """Wait until all that was accepted has left the queue for the maildir."""
        queues = [self._base / "queue" / name for name in ("incoming", "active", "deferred")]
        self._wait(
            lambda: not any(is_accepted(path) for queue in queues for path in queue.rglob("*")), "delivery"
        )

    def log(self) -> str:
        path = self._base / "log"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    def _configure(self) -> None:
        self._base.chmod(0o755)  # its daemons run as other users
        for name in ("etc", "queue", "data", "mail"):
            (self._base / name).mkdir()
        shutil.chown(self._base / "data", "postfix")
        shutil.chown(self._base / "mail", "nobody", "nogroup")
        owner = (self._base / "mail").stat()
        main = _MAIN.format(base=self._base, uid=owner.st_uid, gid=owner.st_gid, judge_port=self._judge.port)
        (self._base / "etc/main.cf").write_text(main)
        (self._base / "etc/master.cf").write_text(_MASTER.format(port=self.port))

    def _greets(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=_PATIENCE_SECONDS) as client:
                greeting = client.recv(100)
                client.sendall(b"QUIT\r\n")
                return greeting.startswith(b"220")
        except OSError:
            return False

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain for {what}\n{self.log()}"
            time.sleep(0.02)


class PolicyServer:
    """Answers Postfix's policy protocol: attributes a line, an empty line, then `action=…`."""

    def __init__(self, judge: Callable[[str], str]) -> None:
        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                recipient = ""
                for line in self.rfile:
                    name, _, value = line.decode().strip().partition("=")
                    recipient = value if name == "recipient" else recipient
                    if not name:
                        self.wfile.write(f"action={judge(recipient)}\n\n".encode())

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # Postfix was killed in the middle of a question

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _queue_id(raw: bytes) -> bytes:
    found = re.search(rb"\(Postfix\) with E?SMTP id (\w+)", raw)
    assert found, raw[:500]
    return found[1]


def is_accepted(path: Path) -> bool:
    """Whether this is a queue file that Postfix answers for: those half written aren't executable yet."""
    try:
        return path.is_file() and bool(path.stat().st_mode & 0o100)
    except FileNotFoundError:
        return False


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
