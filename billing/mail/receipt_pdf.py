"""A receipt as PDF: what the mail says, set by Typst, with its own fonts, and tagged for screen readers.

Nothing is read but `receipt.typ` and the fonts inside the package typst, which is an extra: this module is
loaded only if `mail.receipt_pdf` asks for it. Equal facts give equal bytes.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typst

from billing.config.schema import Business
from billing.mail.i18n import translations
from billing.mail.message import PdfPart, one_line

_LAYOUT = Path(__file__).with_name("receipt.typ")
_FENCES = re.compile("[\u2066-\u2069]")
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]+")

log = logging.getLogger(__name__)


class ReceiptPrinter:
    """Prints the receipts of one business; safe to use from several threads at once."""

    def __init__(self, business: Business) -> None:
        self._business = one_line(business.name)
        self._seller = [*map(one_line, (business.name, *business.address))]
        self._tax_id = one_line(business.tax_id)
        self._layout = _LAYOUT.read_bytes()
        # The machine's fonts would make other bytes of it elsewhere.
        self._fonts = typst.Fonts(include_system_fonts=False)

    def receipt(self, facts: Mapping[str, Any], language: str) -> PdfPart | None:
        """The receipt of a rendered mail's facts; None, and a line in the log, if it can't be made.

        The mail is a receipt itself, so whatever is wrong here must not keep it back.
        """
        number = facts["receipt_number"] or facts["marker"]
        page = {
            "title": _plain(facts["subject"]),
            "business": self._business,
            "language": language,
            "rows": self._rows(facts, translations(language).gettext),
        }
        try:
            data = self._set(json.dumps(page))
        except BaseException as error:
            # A panic inside the typesetter is no Exception. What it says may quote the subscriber.
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            log.warning("receipt %s goes out without its PDF: %s", number, type(error).__name__)
            return None
        return PdfPart(_file_name(number), data)

    def _rows(self, facts: Mapping[str, Any], say: Callable[[str], str]) -> list[dict[str, object]]:
        """The lines of the mail's table, in its order and its words."""
        rows: list[dict[str, object]] = []

        def row(label: str, lines: Sequence[str | None], strong: bool = False) -> None:
            if shown := [_plain(line) for line in lines if line]:
                rows.append({"label": label, "lines": shown, "strong": strong})

        def with_tax_id(lines: Sequence[str], tax_id: str) -> list[str]:
            known = lines and tax_id
            return [*lines, say("Tax ID: %(tax_id)s") % {"tax_id": tax_id}] if known else [*lines]

        row(say("Receipt number"), [facts["receipt_number"]])
        row(say("Payment number"), [facts["marker"]])
        row(say("Paid"), [facts["paid_date"]])
        row(say("Due"), [facts["due_date"]])
        row(say("Paid to"), with_tax_id(self._seller, self._tax_id))
        row(say("Paid by"), with_tax_id(facts["buyer"], facts["tax_id"]))
        row(say("Wallet"), [facts["wallet"]])
        row(say("Plan"), [facts["plan"]])
        row(say("Period"), [facts["period"]])
        if facts["tax"]:
            row(say("Net"), [facts["net"]])
            row(say("Tax (%(tax_rate)s)") % {"tax_rate": facts["tax_rate"]}, [facts["tax"]])
        row(say("Total"), [facts["amount"]], strong=True)
        row(say("Reference"), [facts["reference"]])
        return rows

    def _set(self, page: str) -> bytes:
        try:
            return self._compiled(page, ["ua-1"])
        except typst.TypstError:
            # A character that no font has: accessible PDF forbids it, plain PDF draws an empty box.
            return self._compiled(page, [])

    def _compiled(self, page: str, standards: list[typst.PDFStandard]) -> bytes:
        # A compiler is made in microseconds, and one that two threads share fails.
        compiler = typst.Compiler(
            self._layout,
            root=_LAYOUT.parent,
            font_paths=self._fonts,
            ignore_system_fonts=True,
            sys_inputs={"facts": page},
        )
        data = compiler.compile(format="pdf", pdf_standards=standards)
        assert isinstance(data, bytes)
        return data


def _plain(text: str) -> str:
    """Without the fences around right-to-left names: each value has its own cell here."""
    return _FENCES.sub("", text)


def _file_name(number: str) -> str:
    named = _NOT_IN_A_NAME.sub("-", number).strip("-.")
    return f"receipt-{named}.pdf" if named else "receipt.pdf"
