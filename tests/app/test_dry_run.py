"""A dry run foretells what a run does, and changes nothing."""

from __future__ import annotations

import json

from tests.support.business import Business


def test_a_dry_run_on_a_used_database_changes_nothing(business: Business) -> None:
    business.subscribe("ada,Gold,Ada,ada@example.com,5,1 month,2026-03-01")
    file = business.folder / "var" / "billing.db"
    before = file.read_bytes()

    told = business.billing("run-once", "--dry-run", "--json", "--as-of", "2026-03-01")

    assert [c["due_on"] for c in json.loads(told.stdout)["would_create"]] == ["2026-03-01"]
    assert file.read_bytes() == before
    assert business.remote(live=False) == []


def test_what_the_dry_run_foretells_is_what_the_run_does(business: Business) -> None:
    business.subscribe(
        "ada,Gold,Ada,ada@example.com,5,1 week,2026-02-01",
        "bob,Gold,Bob,bob@example.com,7,1 month,2026-03-04",
        "cy,Gold,Cy,cy@example.com,7,1 year,2026-03-08",
    )
    foretold = json.loads(business.billing("run-once", "--dry-run", "--json", "--as-of", "2026-03-01").stdout)
    business.run("2026-03-01")

    created = {(p["subscription"], p["due_on"], p["state"] == "held") for p in business.payments()}
    assert {(c["subscription"], c["due_on"], c["held"]) for c in foretold["would_create"]} == created
    mailed = {(n["kind"], n["subscription"], n["due_on"]) for n in business.notices()}
    assert {(m["kind"], m["subscription"], m["due_on"]) for m in foretold["would_mail"]} == mailed
