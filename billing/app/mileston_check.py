"""What the doctor asks Mileston: one call that changes nothing, and what its answer tells."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

from billing.app.runtime import open_gateway
from billing.app.status import reading
from billing.config import Config, Settings
from billing.core.clock import clock_problem
from billing.core.outcomes import RemotePayment
from billing.core.plurals import counted, plural
from billing.errors import GatewayError, StoreError
from billing.store import remote_checks
from billing.store.schema import version_in

_FORBIDDEN = 403
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. `ok` is None for what could not be checked; `advice` is what to do about a fault."""

    check: str
    ok: bool | None
    found: str
    advice: str = ""

    def to_json(self) -> dict[str, object]:
        return {"check": self.check, "ok": self.ok, "found": self.found, "advice": self.advice}


async def ask(config: Config, settings: Settings, well: str) -> list[Finding]:
    """The key, the clock, and what the first page of the list shows."""
    async with open_gateway(config, settings) as gateway:
        try:
            remotes = await gateway.list(settings.reconcile.page_size)
        except GatewayError as error:
            advice = "check mileston.recurring_payment_url, the network and the firewall"
            if getattr(error, "unauthorized", False) or getattr(error, "status", None) == _FORBIDDEN:
                advice = "copy the key and the business id again from Mileston's dashboard"
            return [Finding("key", False, str(error), advice)]
    found = [Finding("key", True, f"{well}: {settings.mileston.recurring_payment_url or 'Mileston'}")]
    if skewed := clock_problem(gateway.clock_skew_seconds, settings.reconcile.quiet_seconds):
        found.append(Finding("clock", False, skewed, "set the clock: timedatectl set-ntp true"))
    else:
        found.append(Finding("clock", True, "it agrees with the payments API's"))
    return [*found, *_strangers(config, remotes), *_unmarked(config, remotes)]


def _strangers(config: Config, remotes: list[RemotePayment]) -> Iterator[Finding]:
    """Remote payments that this program created, and of which this database knows nothing."""
    marked = {remote.marker: remote.remote_id for remote in remotes if remote.marker is not None}
    if not marked:
        return
    try:
        known = _known(config, list(marked))
    except StoreError:
        return  # the check of the database reports it
    strangers = [remote_id for marker, remote_id in marked.items() if marker not in known]
    if not strangers:
        checked = f"{counted(len(marked), 'payment')} checked at Mileston"
        yield Finding("remote payments", True, f"{checked}, none unknown to this database")
        return
    found = (
        f"{counted(len(strangers), 'payment')} of this program at Mileston "
        f"{plural(len(strangers), 'bears', 'bear')} a marker that no payment in this database has: "
    )
    advice = (
        "check whether another database bills this business. If this one was restored from a backup or "
        "replaces a lost one, import and resume its subscriptions, or delete these at Mileston"
    )
    yield Finding("remote payments", False, found + _named(strangers), advice)


def _known(config: Config, markers: list[str]) -> Container[str]:
    """Which markers this database has. Raises StoreError."""
    path = config.sqlite_path
    if path is not None and not path.exists():
        return ()
    with reading(config) as connection:
        return remote_checks.by_marker(connection, markers) if version_in(connection) else ()


def _unmarked(config: Config, remotes: list[RemotePayment]) -> Iterator[Finding]:
    """Records of our subscribers that bear no payment number and stand for no payment of ours."""
    unmarked = {remote.remote_id: remote.email for remote in remotes if remote.marker is None}
    path = config.sqlite_path
    if not unmarked or (path is not None and not path.exists()):
        return
    try:
        with reading(config) as connection:
            if version_in(connection) is None:
                return
            claimed = remote_checks.claimed_ids(connection, list(unmarked))
            ours = remote_checks.subscribers_among(connection, list(unmarked.values()))
    except StoreError:
        return
    found = [each for each, email in unmarked.items() if each not in claimed and email.lower() in ours]
    if found:
        what = (
            f"{counted(len(found), 'record')} at Mileston {plural(len(found), 'has', 'have')} the e-mail "
            f"address of a subscriber and no payment number of ours: {_named(found)}"
        )
        advice = (
            "check that you made them yourself at Mileston; if one is a payment of ours whose name was "
            "changed, `billing payments resolve ID --remote-id X --despite-mismatch` says so"
        )
        yield Finding("remote payments", False, what, advice)


def _named(remote_ids: list[str]) -> str:
    more = ", …" if len(remote_ids) > _NAMED else ""
    return ", ".join(remote_ids[:_NAMED]) + more
