"""Exports: complete, safe to open in a spreadsheet, and readable by the import again."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from billing.app.csv_rows import guarded, unguarded
from billing.app.exporting import (
    EVENTS,
    PAYMENTS,
    SUBSCRIPTIONS,
    write_csv,
    write_json_lines,
)
from billing.app.importing import import_csv
from billing.app.runtime import utc_now
from billing.errors import ImportRejected
from billing.store.connection import Database
from billing.store.models import subscriptions
from tests.support.business import HEADER, Business
from tests.support.databases import a_payment, a_subscription
from tests.support.nursery import Finished

_S = subscriptions.c
FULL = f"{HEADER},bill_from,ends_on,wallet_address,locale,company,tax_id,address"


def as_csv(db: Database, export: Any) -> list[dict[str, str]]:
    out = io.StringIO()
    write_csv(export.columns, export.rows(db), out)
    return list(csv.DictReader(io.StringIO(out.getvalue())))


@given(st.text())
def test_the_guard_can_be_taken_off_again(text: str) -> None:
    assert unguarded(guarded(text)) == text


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "'=1", "''@x"])
def test_no_cell_begins_as_a_formula(text: str) -> None:
    assert guarded(text) == f"'{text}"
    assert unguarded(guarded(text)) == text


@pytest.mark.parametrize("text", ["", "plain", "a=b", "O'Hara", "'quoted'", " =1"])
def test_other_cells_are_left_alone(text: str) -> None:
    assert guarded(text) == text
    assert unguarded(text) == text


def test_what_is_exported_imports_again_without_a_change(new_business: Callable[..., Business]) -> None:
    one, other = new_business(), new_business()
    one.subscribe(
        'ada,"Gold, ""plus""",Ada Ünïcode,ada@example.com,19.90,1 month,2026-01-31,2026-02-01,2027-01-01,'
        "0x52908400098527886E0F7030069857D2E4169EE7,de,'=Ada & Söhne,DE 123 456 789,"
        '"12, Harbour Road | Bristol | =BS1"',
        "bob,Weekly,Bob,bob@example.com,0.000001,2 weeks,2026-03-01,,,,,,,One line",
        "cy,Days,Cy,cy@example.com,7,30,2026-03-01,,,,,,,",
        header=FULL,
    )
    out = io.StringIO()
    with one.store() as db:
        write_csv(SUBSCRIPTIONS.columns, SUBSCRIPTIONS.rows(db), out)
    data = out.getvalue().encode()
    results = []
    for business in (one, other):
        with business.store() as db:
            settings = business.config.settings
            results.append(import_csv(db, io.BytesIO(data), settings, utc_now(), "person:test"))
    again = io.StringIO()
    with other.store() as db:
        write_csv(SUBSCRIPTIONS.columns, SUBSCRIPTIONS.rows(db), again)

    assert out.getvalue().splitlines()[0] == FULL
    assert ',\'=Ada & Söhne,DE 123 456 789,"12, Harbour Road | Bristol | =BS1"\n' in out.getvalue()
    assert (results[0].added, results[0].updated, results[0].unchanged) == (0, 0, 3)
    assert (results[1].added, results[1].updated) == (3, 0)
    assert again.getvalue() == out.getvalue()


def test_an_address_that_older_versions_let_in_is_told_with_what_to_do_meanwhile(business: Business) -> None:
    business.subscribe(
        "ada,Gold,Ada,ada@example.com,19.90,1 month,2026-01-31",
        "joe,Gold,José,joe@example.com,19.90,1 month,2026-01-31",
    )
    with business.store() as db:
        with db.transaction() as tx:
            tx.execute(update(subscriptions).values(email="josé@example.com").where(_S.reference == "joe"))
        out = io.StringIO()
        write_csv(SUBSCRIPTIONS.columns, SUBSCRIPTIONS.rows(db), out)
        lines = out.getvalue().splitlines(keepends=True)
        with pytest.raises(ImportRejected) as caught:
            import_csv(db, io.BytesIO(out.getvalue().encode()), business.config.settings, utc_now(), "p:t")
        without = import_csv(
            db, io.BytesIO("".join(lines[:-1]).encode()), business.config.settings, utc_now(), "p:t"
        )
    (fault,) = caught.value.faults
    assert fault.startswith(
        "line 3, column email: 'josé@example.com' has 'é' before the @: only servers with"
    )
    assert fault.endswith(
        "ask for one in plain letters; until then take the line out of the file: its subscription "
        "stays as it is"
    )
    assert (without.updated, without.unchanged) == (0, 1)


def test_cells_from_people_are_no_formulas_in_any_export(db: Database) -> None:
    buyer = {"company": "=company", "tax_id": "+1", "address": "-a\n=b"}
    row = a_subscription(db, "=cmd|' /C calc'!A0", plan="+plan", name="@name", **buyer)
    a_payment(db, row, reference="=cmd", state="held", cause="-cause")
    for export in (SUBSCRIPTIONS, PAYMENTS, EVENTS):
        for cells in as_csv(db, export):
            assert not any(value.startswith(("=", "+", "-", "@")) for value in cells.values())
    (payment,) = as_csv(db, PAYMENTS)
    assert payment["subscription"] == "'=cmd|' /C calc'!A0"
    assert payment["cause"] == "'-cause"

    out = io.StringIO()
    write_json_lines(PAYMENTS.rows(db), out)
    assert json.loads(out.getvalue())["subscription"] == "=cmd|' /C calc'!A0"  # exact


def test_thousands_of_rows_come_once_each_over_many_pages(db: Database) -> None:
    from sqlalchemy import insert

    from billing.store.models import events

    lines = [{"at": utc_now(), "actor": "run:1", "action": "tested", "detail": str(i)} for i in range(1234)]
    with db.transaction() as tx:
        tx.execute(insert(events), lines)
    rows = list(EVENTS.rows(db))
    assert [row["detail"] for row in rows] == [str(i) for i in range(1234)]
    assert list(PAYMENTS.rows(db)) == []


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_reader_that_takes_its_time_holds_no_writer_up(db: Database) -> None:
    for i in range(3):
        a_subscription(db, f"s{i}")
    rows = SUBSCRIPTIONS.rows(db)
    assert next(rows)["reference"] == "s0"
    a_subscription(db, "s3")  # would wait for half a minute, and fail
    assert [row["reference"] for row in rows] == ["s1", "s2"]  # of the page that was read


def test_amounts_are_texts_and_instants_are_iso(business: Business) -> None:
    business.subscribe("ada,P,N,a@example.com,19.90,1 month,2026-03-01")
    business.run("2026-03-01")
    with business.store() as db:
        (payment,) = PAYMENTS.rows(db)
        actions = [row["action"] for row in EVENTS.rows(db)]
    assert payment["amount"] == "19.90"
    assert payment["due_on"] == "2026-03-01"
    assert str(payment["created_at"]).endswith("+00:00")
    assert payment["paid_at"] is None
    assert actions[:3] == ["added", "planned", "created"]


def test_the_three_commands(business: Business, billing: Callable[..., Finished]) -> None:
    business.subscribe("ada,P,N,a@example.com,19.90,1 month,2026-03-01")
    business.run("2026-03-01")
    subscriptions = billing(business, "subscriptions", "export")
    payments = billing(business, "payments", "export", "--format", "jsonl")
    events = billing(business, "events", "export", "--json")

    assert subscriptions.stdout == f"{FULL}\nada,P,N,a@example.com,19.90,1 month,2026-03-01,,,,,,,\n"
    assert json.loads(payments.stdout)["state"] == "open"
    assert [event["action"] for event in json.loads(events.stdout)][:2] == ["added", "planned"]
