"""Sample notices as a business's subscribers read them.

say(NoticeKind.PAYMENT_OVERDUE, step=4, steps=4).subject
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from billing.config.schema import Business, Settings
from billing.core.states import NoticeKind
from billing.mail.message import Content
from billing.mail.render import Renderer
from billing.mail.samples import SAMPLE_NOW, sample_letters

BUSINESS = Business(
    name="Nordlicht Studios",
    support_address="help@nordlicht.example",
    cancel_url="https://nordlicht.example/cancel/{reference}",
)
TO_SUBSCRIBERS = [kind for kind in NoticeKind if kind != NoticeKind.RUN_DIGEST]


@lru_cache
def _renderer(business: str) -> Renderer:
    return Renderer(Settings(business=Business.model_validate_json(business)))


def renderer_of(business: Business) -> Renderer:
    """One renderer for each business: to compile the templates takes longer than all the rest."""
    return _renderer(business.model_dump_json())


def say(
    kind: NoticeKind,
    business: Business = BUSINESS,
    now: datetime = SAMPLE_NOW,
    locale: str | None = "en",
    case: str = "ordinary",
    **changes: Any,
) -> Content:
    """The content of a sample notice; its no-break spaces as plain ones, to compare sentences."""
    (letter,) = [sample.letter for sample in sample_letters(kind, locale) if sample.case == case]
    if changes.get("pay_url", "") is None:
        changes.setdefault("open_payments", tuple(replace(one, pay_url=None) for one in letter.open_payments))
    content = renderer_of(business).content(replace(letter, **changes), now)
    return replace(content, text=content.text.replace("\xa0", " "), html=_plain(content.html))


def _plain(html: str) -> str:
    return html.replace("\xa0", " ").replace("&#160;", " ")
