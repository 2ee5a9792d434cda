"""Every mail to look at: the samples of `billing templates check`, sent by an invented business."""

from __future__ import annotations

import io
import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from PIL import Image, ImageDraw

from billing.config.logo import Logo
from billing.config.schema import Settings
from billing.core.notices import NoticeFacts
from billing.core.states import NoticeKind
from billing.mail.i18n import LANGUAGES
from billing.mail.render import Renderer
from billing.mail.samples import ORDINARY, SAMPLE_NOW, sample_letters

BRANDED = "logo and accent"
_ACCENT = "#0b6e4f"
_BUSINESS = {
    "name": "Nordlicht Studios",
    "support_address": "help@nordlicht.example",
    "operator_address": "ops@nordlicht.example",
    "cancel_url": "https://nordlicht.example/cancel/{reference}",
    "address": ["Sternstraße 1", "20357 Hamburg", "Germany"],
    "tax_id": "DE123456789",
    "tax_rate": 19,
    "networks": ["Base", "Polygon"],
}
_MAIL = {"from_address": "billing@nordlicht.example"}


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail: its page, as a browser can show it, and the message as it is sent."""

    kind: NoticeKind
    language: str
    case: str
    page: str
    message: bytes

    @property
    def name(self) -> str:
        return f"{self.kind}.{self.language}.{self.case.replace(' ', '-').replace(',', '')}"


def every_mail() -> Iterator[Mail]:
    """Every kind, language and sample; and the ordinary ones once more with a logo and a colour."""
    plain = Renderer(Settings.model_validate({"business": _BUSINESS, "mail": _MAIL}))
    logo = _logo()
    branded = Renderer(
        Settings.model_validate({"business": {**_BUSINESS, "accent": _ACCENT}, "mail": _MAIL}), logo=logo
    )
    image = f"data:image/png;base64,{b64encode(logo.data).decode('ascii')}"
    for language, kind in product(LANGUAGES, NoticeKind):
        for sample in sample_letters(kind, language):
            yield _mail(plain, sample.letter, language, sample.case, image)
            if sample.case == ORDINARY:
                yield _mail(branded, sample.letter, language, BRANDED, image)


def _mail(renderer: Renderer, letter: NoticeFacts, language: str, case: str, image: str) -> Mail:
    page = re.sub('src="cid:[^"]*"', f'src="{image}"', renderer.content(letter, SAMPLE_NOW).html)
    return Mail(letter.kind, language, case, page, renderer.render(letter, SAMPLE_NOW).raw)


def _logo() -> Logo:
    """A sun on the horizon, twice as large as it is shown."""
    image = Image.new("RGBA", (96, 64))
    draw = ImageDraw.Draw(image)
    draw.pieslice((16, 4, 80, 68), 180, 360, fill=_ACCENT)
    for top, left in ((42, 4), (52, 16)):
        draw.rounded_rectangle((left, top, 96 - left, top + 5), 2, fill=_ACCENT)
    data = io.BytesIO()
    image.save(data, "PNG")
    return Logo("png", data.getvalue(), image.width, image.height)
