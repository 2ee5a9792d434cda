"""Fits a world to its traits: what they need to show, and what would contradict them, is set here."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

from . import traits as world_traits
from .traits import Traits

if TYPE_CHECKING:
    from .options import Options


_WITH_MARKER = 20
"""A name that is cut before loses its marker."""


def fitted(options: Options, traits: Traits) -> Options:
    """These options, changed as far as the traits ask for it."""
    rng = Random(f"{options.seed} fitting")
    options = replace(options, traits=traits)
    for fit in (_tenant, _api, _list, _restores, _people, _brakes, _later):
        options = fit(options, rng)
    return options


def _section(options: Options, name: str, **values: Any) -> Options:
    """The options with some settings of a section replaced."""
    section = getattr(options.settings, name).model_copy(update=values)
    return replace(options, settings=options.settings.model_copy(update={name: section}))


def _tenant(options: Options, _rng: Random) -> Options:
    return _section(options, "mileston", namespace="ours") if options.traits.namespaced else options


def _api(options: Options, rng: Random) -> Options:
    traits = options.traits
    if traits.late_bytes:
        # Where the client resets what it gives up, only a process that is stopped leaves bytes to the kernel,
        # and for half a minute at most: the floor of quiet_seconds in live is made for those.
        quiet = rng.choice((120.0, 300.0) if world_traits.GATEWAY_RESETS else (10.0, 30.0))
        options = _section(options, "reconcile", quiet_seconds=quiet)
        # Two looks have to come before the bytes do: cycles every few seconds.
        calm: dict[str, Any] = {"read_faults": 0.0, "spells": 0, "restores": 0, "skew": 0.0}
        if not world_traits.GATEWAY_RESETS:
            calm |= {"crashes": 0.0, "stalls": 0.0}
        options = replace(options, tempo="seconds", loses_all=False, **calm)
    if traits.gets_late >= options.quiet_seconds / 2:
        traits = replace(traits, gets_late=options.quiet_seconds / 2)
    if traits.gets_late:
        options = replace(options, tempo="seconds", stale_lists=0.8, mail_faults=0.4)
    if 0 < traits.name_cut < _WITH_MARKER:  # nothing tells of doubles and of a lost database: see the README
        faults = {name: most for name, most in options.create_faults.items() if name != "duplicate"}
        options = replace(options, create_faults=faults, loses_all=False)
        traits = replace(traits, folder_restores="inode" if traits.folder_restores else "")
    if traits.deletes_ignored:
        faults = options.create_faults | {"duplicate": 0.25}
        options = replace(options, create_faults=faults, people=max(options.people, 0.6))
    if traits.status_spelling or traits.status_words or traits.stale_status:
        options = replace(options, payers=1.0, unpaid_flips=False)
    if traits.status_spelling or traits.status_words:
        faults = options.create_faults | {"duplicate": 0.25}
        options = replace(options, create_faults=faults)
    if traits.stale_status and options.tempo in ("minutes", "hours"):
        options = replace(options, tempo="days")
    return replace(options, traits=traits)


def _list(options: Options, rng: Random) -> Options:
    traits = options.traits
    if traits.plain_cap:
        options = replace(options, list_cap=0)
        if rng.random() < 0.7:
            # It begins to hide something when the first few of ours are there.
            options = replace(options, foreign_records=traits.plain_cap - rng.randint(1, 8))
        if not traits.list_by and rng.random() < 0.6:
            options = replace(options, list_order="oldest")
    if traits.list_by:
        # A part of the list is all that is ever seen, and people begin with dates that are past.
        options = replace(options, traits=replace(traits, plain_cap=traits.plain_cap or 10), list_cap=0)
        options = replace(options, people=max(0.6, options.people), tempo="days", restores=0, loses_all=False)
    if traits.plain_cap or traits.list_by:
        faults = options.create_faults | {"lost_reply": 0.25}
        options = replace(options, create_faults=faults, subscriptions=max(4, options.subscriptions))
    return options


def _restores(options: Options, rng: Random) -> Options:
    traits = options.traits
    if traits.folder_restores and traits.failovers:
        traits = replace(traits, failovers=False)
        options = replace(options, traits=traits)
    if traits.folder_restores or traits.failovers:
        faults = {name: most for name, most in options.create_faults.items() if name != "stored_wrong"}
        options = replace(
            options,
            create_faults=faults,
            restores=max(1, options.restores),
            loses_all=False,
            remote_deletions=False,
            unpaid_flips=False,
            processes=1 if traits.folder_restores else rng.choice((2, 3)),
            skew=0.0 if traits.folder_restores else options.skew,
        )
    if options.loses_all:  # a new database knows no list that was longer
        options = replace(options, traits=replace(options.traits, plain_cap=0))
    if traits.folder_restores == "snapshot":
        # Nothing on the machine tells of it: only a list that answers and shows everything can.
        options = replace(options, read_faults=0.0, list_cap=0, spells=0)
        options = replace(options, traits=replace(options.traits, plain_cap=0))
    return options


def _people(options: Options, rng: Random) -> Options:
    traits = options.traits
    if traits.changing_terms or traits.bare_imports or traits.mangled_imports or traits.read_committed:
        options = replace(options, people=max(options.people, rng.choice((0.3, 0.6, 0.9))))
    if traits.past_as_of:
        options = _section(options, "mileston", environment="live")
    return options


def _brakes(options: Options, rng: Random) -> Options:
    if options.traits.folder_restores:  # a folder is SQLite's: one cycle at a time
        return replace(options, traits=replace(options.traits, shared_brakes=False, read_committed=False))
    if options.traits.shared_brakes:
        options = _section(options, "cycle", max_payments_per_run=rng.choice((1, 2, 3)))
        if options.processes == 1:
            options = replace(options, processes=3)
        options = replace(options, subscriptions=5)
    if options.traits.read_committed and options.processes == 1:
        options = replace(options, processes=2)
    return options


def _later(options: Options, _rng: Random) -> Options:
    if options.traits.renewals:
        options = _section(options, "mileston", renewal="stop")
        if options.tempo in ("seconds", "minutes", "hours"):
            options = replace(options, tempo="days")
        # A database that forgets that a record was handed on can't learn it from the API: see decision 17.
        traits = replace(options.traits, folder_restores="", failovers=False)
        options = replace(options, traits=traits, restores=0, loses_all=False)
    if options.traits.renewals or options.traits.partial_payments:
        options = replace(options, payers=1.0, unpaid_flips=False)
    if options.traits.long_history:
        options = replace(options, foreign_records=options.traits.long_history, list_order="oldest")
    return options
