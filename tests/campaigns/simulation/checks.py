"""What must hold when a world has come to rest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .clientele import CANCELLED, Agreement
from .records import Key
from .says import judge_brakes
from .storing import DAY

if TYPE_CHECKING:
    from .world import World

_RESTLESS = ("planned", "sending", "unknown", "held", "rejected", "parked")
_NUMBER = re.compile(r"RB-\w{16}", re.IGNORECASE)
_MADE = ("open", "paid", "uncollectible")


def settled(world: World, *, say: bool = False) -> str | bool:
    """Whether nothing is left to do; with `say`, what is."""
    left = []
    marks = ", ".join(f"'{state}'" for state in _RESTLESS)
    for state, count in world.store.rows(
        f"SELECT state, count(*) FROM payments WHERE state IN ({marks}) GROUP BY state"
    ):
        left.append(f"{count} payments are {state}")
    for state, count in world.store.rows(
        # Of a payment that a person must look at first, the mail waits for that.
        "SELECT n.state, count(*) FROM notices n LEFT JOIN payments p ON p.id = n.payment_id "
        "WHERE n.state IN ('queued', 'sending') AND coalesce(p.attention, '') = '' GROUP BY n.state"
    ):
        left.append(f"{count} notices are {state}")
    # What a restored backup forgot, and a person paused before it was planned anew, nobody looks for.
    known = set(
        world.store.rows(
            "SELECT s.reference || '@example.com', p.due_on FROM payments p "
            "JOIN subscriptions s ON s.id = p.subscription_id"
        )
    )
    for key in world.api.by_key:
        doubled = key in known and len(world.api.live(key)) > 1 and key in world.witness.doubles_shown
        if doubled and not _is_for_a_person(world, key) and not _is_nameless(world, key):
            left.append(f"{key[0]} {key[1]} has several live remote payments")
    if world.options.traits.wide and (unbooked := _unbooked(world)):
        left.append(f"{unbooked} that were paid long ago are not booked")
    if world.clientele.forgotten:
        left.append("forgotten subscriptions")
    return "; ".join(left) if say else not left


def _is_nameless(world: World, key: Key) -> bool:
    """Whether a double's name lost its number at the API: nothing proves whose it is (residual)."""
    return any(not _NUMBER.search(remote.name) for remote in world.api.live(key))


def _is_for_a_person(world: World, key: Key) -> bool:
    """Whether a double of it is no proved one, and a person was told.

    It shows another date, for it renewed itself; or a word that the program can't read, or did so when a
    list last showed it; or it was paid in part, and its amount is not the payment's; or the terms were
    changed since, and its e-mail or amount is not the payment's any more; or the payment is void, and what
    came to light of it is a person's to judge.
    """
    is_unclear = any(
        remote.word is not None or remote.part_paid or remote.due_on not in ("", key[1])
        for remote in world.api.live(key)
    )
    agreement = world.clientele.by_email(key[0])
    is_changed = agreement is not None and agreement.changed_at is not None
    state = _flagged(world).get(key)
    return state is not None and (is_unclear or is_changed or state == "void")


def _flagged(world: World) -> dict[Key, str]:
    """The state of each payment that a person was told of."""
    rows = world.store.rows(
        "SELECT s.reference || '@example.com', p.due_on, p.state FROM payments p "
        "JOIN subscriptions s ON s.id = p.subscription_id WHERE p.attention <> ''"
    )
    return {(email, due_on): state for email, due_on, state in rows}


def at_the_end(world: World) -> None:
    """Compare the API, the database, the mailbox and the rule with each other."""
    world.follow_the_program()
    _payments(world)
    _strangers(world)
    _wires(world)
    _notices(world)
    _reminders(world)
    if world.options.traits.wide:
        _told(world)
    if world.options.traits.shared_brakes:
        judge_brakes(world)


def _payments(world: World) -> None:
    """Every due date of the rule has its payment; no other has one."""
    rows = {
        (email, due_on): (state, attention, remote_id)
        for email, due_on, state, attention, remote_id in world.store.rows(
            "SELECT s.reference || '@example.com', p.due_on, p.state, p.attention, "
            "coalesce(p.remote_id, p.former_remote_id) "
            "FROM payments p JOIN subscriptions s ON s.id = p.subscription_id"
        )
    }
    for agreement in world.clientele.agreements.values():
        for day in sorted(agreement.musts):
            key = (agreement.email, day.isoformat())
            world.trace.count("due dates that had to be charged")
            if key not in rows:
                world.trace.violated(f"{key[0]} {key[1]} was missed: it has no payment")
            else:
                _payment(world, agreement, key, *rows[key])
    for email, due_on in rows:
        known = world.clientele.by_email(email)
        if known is None or due_on not in {day.isoformat() for day in known.mays}:
            world.trace.violated(f"{email} {due_on} has a payment that the rule does not know")


def _payment(
    world: World, agreement: Agreement, key: tuple[str, str], state: str, attention: str, remote_id: str
) -> None:
    """One payment: exactly one live remote one, or a reason of the world's for another number."""
    live = world.api.live(key)
    by_hand = any(r.deleted_by.startswith("person") for r in world.api.by_key.get(key, ()))
    if state == "void":
        if agreement.status != CANCELLED and key not in world.persons.voided | world.witness.overtaken:
            world.trace.violated(f"{key[0]} {key[1]} is void, and nobody cancelled or voided it")
        if live and not attention:
            world.trace.violated(f"{key[0]} {key[1]} is void, lives at the API, and nobody was told")
        return
    if state not in _MADE:
        world.trace.violated(f"{key[0]} {key[1]} is still {state}")
        return
    if key in world.witness.raced or (
        len(live) > 1 and (_is_for_a_person(world, key) or _is_nameless(world, key))
    ):
        return
    if len(live) > 1 and key not in world.witness.doubles_shown:
        world.trace.count("duplicates that no list of the quiet tail showed (residual)")
        return
    if len(live) != 1 and not (by_hand and not live):
        world.trace.violated(f"{key[0]} {key[1]} is {state}, with {len(live)} live remote payments")
        return
    if not live:
        if state == "open" and not attention:
            world.trace.violated(f"{key[0]} {key[1]} was deleted by hand, and nobody was told")
        return
    if live[0].remote_id != remote_id and not attention:
        world.trace.violated(f"{key[0]} {key[1]} stands for {remote_id}, and {live[0].remote_id} lives")
    asked = agreement.amount_micros if agreement.changed_at is None else _amount(world, key)
    if live[0].part_paid:
        if not attention and live[0].amount_micros != _amount(world, key):
            world.trace.violated(f"{key[0]} {key[1]} was paid in part, and nobody was told")
    elif live[0].amount_micros != asked:
        world.trace.violated(f"{key[0]} {key[1]} was charged with a wrong amount")
    shown = live[0].remote_id in world.witness.unpaid_in_lists
    came_back = live[0].due_on not in ("", key[1])  # for a later period: its own was paid
    if state == "paid" and not live[0].paid and shown and not attention and not came_back:
        world.trace.violated(f"{key[0]} {key[1]} is booked as paid, and is not")


def _amount(world: World, key: tuple[str, str]) -> int:
    """What the program asked for: prices change, and what was charged before keeps its own."""
    rows = world.store.rows(
        "SELECT p.amount_micros FROM payments p JOIN subscriptions s ON s.id = p.subscription_id "
        "WHERE s.reference || '@example.com' = ? AND p.due_on = ?",
        *key,
    )
    return int(rows[0][0])


def _strangers(world: World) -> None:
    """Everything the program made is due by the rule, and nothing was paid twice."""
    for key, remotes in world.api.by_key.items():
        ours = [r for r in remotes if r.wire]
        agreement = world.clientele.by_email(key[0])
        if ours and (agreement is None or key[1] not in {d.isoformat() for d in agreement.mays}):
            world.trace.violated(f"{key[0]} was charged for {key[1]}, which was never due")
        if sum(r.paid_at is not None and r.live for r in ours) > 1:
            world.trace.violated(f"{key[0]} {key[1]} was paid twice")
    for remote in world.api.records.values():
        if not remote.wire and not remote.live:
            world.trace.violated(f"{remote.remote_id} of somebody else was deleted")


def _wires(world: World) -> None:
    """Every request that the API saw has its attempt in the database (not after a restore)."""
    if world.restored_at:
        return
    attempts = {
        (email, due_on): count
        for email, due_on, count in world.store.rows(
            "SELECT s.reference || '@example.com', p.due_on, count(*) FROM attempts a "
            "JOIN payments p ON p.id = a.payment_id "
            "JOIN subscriptions s ON s.id = p.subscription_id GROUP BY p.id"
        )
    }
    seen: dict[tuple[str, str], int] = {}
    for wire in world.api.wires:
        seen[wire.key] = seen.get(wire.key, 0) + 1
    for key, count in seen.items():
        if count > attempts.get(key, 0):
            world.trace.violated(f"{key[0]} {key[1]}: {count} creates, {attempts.get(key, 0)} attempts")


def _notices(world: World) -> None:
    """Nothing is lost: sent ones arrived, and every other end has a cause in the world."""
    box = world.mailbox
    for key, state, tries, run_id, attention in world.store.rows(
        "SELECT n.dedupe_key, n.state, n.tries, n.run_id, coalesce(p.attention, '') FROM notices n "
        "LEFT JOIN payments p ON p.id = n.payment_id"
    ):
        world.trace.count(f"notice {state}")
        run = world.runs.get(run_id or "")
        fine = {
            "sent": box.accepted[key] > 0,
            "failed": key in box.refused or (tries >= 11 and box.refused_for_now[key] >= 11),
            "unknown": key in box.lost or (run is not None and run.troubled) or bool(world.restored_at),
            "superseded": True,
            "queued": bool(attention),
        }.get(state, False)
        if not fine:
            world.trace.violated(f"the notice {key} is {state}, without a cause in the world")
    made = ", ".join(f"'{state}'" for state in _MADE)
    for marker, state in world.store.rows(
        f"SELECT marker, state FROM payments p WHERE state IN ({made}) AND NOT EXISTS "
        "(SELECT 1 FROM notices n WHERE n.payment_id = p.id AND n.kind = 'payment_created')"
        " UNION SELECT marker, state FROM payments p WHERE state = 'paid' AND NOT EXISTS "
        "(SELECT 1 FROM notices n WHERE n.payment_id = p.id AND n.kind = 'payment_received')"
    ):
        world.trace.violated(f"{marker} is {state}, and no notice of it was ever queued")


def _told(world: World) -> None:
    """Nobody was left without the way to pay."""
    for reference, due_on, remote_id, reason in world.store.rows(
        "SELECT s.reference, p.due_on, p.remote_id, n.server_reply FROM notices n "
        "JOIN payments p ON p.id = n.payment_id JOIN subscriptions s ON s.id = p.subscription_id "
        "WHERE n.kind = 'payment_created' AND n.state = 'superseded' AND p.state = 'open'"
    ):
        remote = world.api.records.get(remote_id)
        if remote is not None and remote.live:
            world.trace.violated(f"{reference} {due_on} was never told how to pay: {reason}")


def _unbooked(world: World) -> int:
    """How many were paid two days ago at the latest, and neither booked nor flagged."""
    long_ago = world.loop.time() - 2 * DAY
    rows = world.store.rows(
        "SELECT remote_id FROM payments WHERE state IN ('open', 'uncollectible') AND attention = ''"
    )
    remotes = (world.api.records.get(row[0]) for row in rows)
    return sum(remote is not None and remote.live and remote.was_paid(long_ago) for remote in remotes)


def _reminders(world: World) -> None:
    """Reminders of one due date come ever nearer to it."""
    nearest: dict[tuple[int, str], int] = {}
    for subscription, due_on, days in world.store.rows(
        "SELECT subscription_id, due_on, days FROM notices WHERE kind = 'next_payment_due' ORDER BY id"
    ):
        if days >= nearest.get((subscription, due_on), 10_000):
            world.trace.violated(f"reminders of {due_on} went backwards: {days} days")
        nearest[(subscription, due_on)] = days
