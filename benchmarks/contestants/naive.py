"""The script that one writes first: a loop over one client, and a commit a row."""

from __future__ import annotations

import httpx

from benchmarks.contestants.script import DONE, HEADERS, count_open, sqlite_records, url
from benchmarks.measure import measured, spec


def main(api: str, count: int, database: str) -> None:
    address = url(api)
    connection = sqlite_records(database, count)
    with measured(count), httpx.Client(timeout=15) as client:
        for number, body in connection.execute(
            "SELECT id, body FROM payments WHERE state = 'due'"
        ).fetchall():
            response = client.post(address, content=body, headers=HEADERS)
            response.raise_for_status()
            remote_id = response.json()["recurringPaymentData"]["recurringPaymentId"]
            connection.execute(DONE, (remote_id, number))
            connection.commit()
    assert count_open(connection) == count


if __name__ == "__main__":
    main(**spec())
