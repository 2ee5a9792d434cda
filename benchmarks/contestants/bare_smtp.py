"""The limit of delivering: aiosmtplib sending the same bytes, so many connections, no database."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path

import aiosmtplib

from benchmarks.contestants.ours import config_for
from benchmarks.measure import measured, spec
from billing.app.runtime import open_store
from billing.core.notices import RenderedMail
from billing.cycle.notice_facts import facts_for
from billing.mail.render import Renderer
from billing.store import notices


async def main(count: int, as_of: str, connections: int, port: int, settings: dict[str, str]) -> None:
    mails = _rendered(date.fromisoformat(as_of), settings)
    assert len(mails) == count

    async def lane() -> None:
        client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, use_tls=False, start_tls=False)
        async with client:
            while mails:
                mail = mails.pop()
                await client.sendmail(mail.sender, [mail.recipient], mail.raw)

    with measured(count):
        await asyncio.gather(*(lane() for _ in range(connections)))


def _rendered(today: date, settings: dict[str, str]) -> list[RenderedMail]:
    """What the program would send from this database."""
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory() as folder:
        config = config_for(Path(folder), **settings)
    renderer = Renderer(config.settings)
    start = (datetime.min.replace(tzinfo=UTC), 0)
    with open_store(config) as db, db.transaction() as tx:
        rows = notices.queued_page(tx, now, start, 1_000_000)
        letters = [
            facts_for(row, config.settings, today, lambda remote_id: _LINK + remote_id) for row in rows
        ]
    return [renderer.render(letter, now) for letter in letters]


_LINK = "http://127.0.0.1:8788/checkout/recurring-payment/"

if __name__ == "__main__":
    asyncio.run(main(**spec()))
