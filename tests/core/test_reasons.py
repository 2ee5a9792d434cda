"""The sentences that are stored with payments, runs and e-mails: each stands in `core/reasons.py` alone."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import billing
from billing.core import reasons
from billing.core.reasons import REASONS
from billing.gateway.resources import RECURRING_PAYMENTS

HOME = Path(billing.__file__).parent
# Whatever these say may end up in a digest.
TELLING = (
    "core/brakes.py",
    "core/coverage.py",
    "core/reconciling.py",
    "core/renewal.py",
    "cycle/deliver.py",
    "cycle/dun.py",
    "cycle/observe.py",
    "cycle/plan.py",
    "cycle/reconcile.py",
    "cycle/renewals.py",
    "cycle/recover.py",
    "cycle/settle.py",
    "cycle/submit.py",
    "cycle/sweep.py",
    "gateway/client.py",
    "gateway/faults.py",
    "gateway/mileston.py",
    "gateway/verdicts.py",
    "gateway/wire.py",
    "lifecycle/payments.py",
    "lifecycle/restore.py",
    "lifecycle/sending.py",
    "mail/conversation.py",
)
# Their words go elsewhere: into the log of events, to a developer, into the log of the program.
ELSEWHERE = {
    "about_payment",
    "event",
    "record",
    "info",
    "warning",
    "log",
    "settle_doubt",
    "supersede_quietly",
    "AccountRefused",
    "RuntimeError",
    "ValueError",
    "IllegalTransition",
    "SMTPServerDisconnected",
    "OSError",
}
# Never with what waits for a person, or not at the time of a digest.
NO_REASONS = {
    "its subscription was cancelled before it was sent",  # of a void payment
    "the run stopped",  # of one that stays planned
    "a payment was moved by another worker under our lock",  # for a developer
    "it is a restored backup",  # events
    "it is older than what was last used here",
    "{} looks at the list, and it is not there",
    "{} found that it did not send; {} more to look for first",
    "the final action of dunning",
    "no final action came",
    "the step of day {}",
    "the run was asked to end",  # of an e-mail that stays queued
    "its lease had ended before it was sent",
    "the mail server was lost",
    "the mail server refused {} addressees and took no e-mail in this run, at last with {}; find out there "
    "what it means, and correct the addresses if they are the reason",  # the channel's, after the digest
    "no TLS (this machine)",  # the doctor's
    ", messages up to {} KiB",
    "{}: this is not an id that the API could have given",  # nothing that is stored has such a one
}


THREE_WORDS = re.compile(r"[a-z']{2,} (?:.* )?[a-z']{2,} (?:.* )?[a-z']{2,}")


def sentences(path: Path) -> Iterator[tuple[int, str]]:
    """Each text of three words or more that a module says itself, with its line."""
    tree = ast.parse(path.read_text("utf-8"))
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):  # a docstring
            skipped.add(node.value)
        if isinstance(node, ast.Call) and _name(node.func) in ELSEWHERE:
            skipped.update(ast.walk(node))
        if isinstance(node, ast.JoinedStr):
            skipped.update(node.values)
    for node in ast.walk(tree):
        if node not in skipped and THREE_WORDS.search(text := _text(node)):
            yield node.lineno, text  # type: ignore[attr-defined]


def _text(node: ast.AST) -> str:
    """What a string says, with {} for the values of an f-string."""
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


@pytest.mark.parametrize("module", TELLING)
def test_no_module_tells_a_sentence_of_its_own(module: str) -> None:
    own = [f"{module}:{line}: {text!r}" for line, text in sentences(HOME / module) if text not in NO_REASONS]
    assert not own, "put these into billing/core/reasons.py, so that the digest is translated:\n" + "\n".join(
        own
    )


def test_a_new_sentence_is_noticed(tmp_path: Path) -> None:
    module = tmp_path / "sweep.py"
    module.write_text(
        'def f(ctx, row):\n    """It is a docstring."""\n    flag(ctx, row, f"it costs {row.x} more now")\n'
        '    record(tx, [event("an event of the log")])\n    row.cause = "too late for it"\n'
    )
    assert sorted(text for _, text in sentences(module)) == ["it costs {} more now", "too late for it"]


def test_the_calls_of_the_api_are_named_as_they_name_themselves() -> None:
    names = {f"{verb} {RECURRING_PAYMENTS.name}" for verb in ("list", "get", "delete")}
    assert names == {reasons.LIST_CALL, reasons.GET_CALL, reasons.DELETE_CALL}


def test_no_sentence_stands_twice() -> None:
    assert [text for text, times in Counter(REASONS).items() if times > 1] == []
