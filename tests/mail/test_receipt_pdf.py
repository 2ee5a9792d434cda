"""The PDF of a receipt: it says what the mail says, whatever people are called, and never keeps it back."""

from __future__ import annotations

import html
import io
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pypdf import PdfReader

from billing.config.schema import Business, Mail, Settings
from billing.core.states import NoticeKind
from billing.mail.message import Content
from billing.mail.receipt_pdf import ReceiptPrinter
from billing.mail.render import Renderer
from billing.mail.samples import SAMPLE_NOW, sample_letter, sample_letters
from tests.support.messages import parse

RECEIVED = NoticeKind.PAYMENT_RECEIVED
SELLER = Business(
    name="Nordlicht Studios GmbH",
    address=["Sternstraße 1", "20357 Hamburg"],
    tax_id="DE123456789",
    tax_rate=19,
)
PRINTING = Renderer(Settings(business=SELLER, mail=Mail(receipt_pdf=True)))
GREEK_AND_CYRILLIC = "Ελένη Παπαδοπούλου & Иван Петрович"


def written(locale: str = "en", kind: NoticeKind = RECEIVED, **changes: Any) -> Content:
    return PRINTING.content(replace(sample_letter(kind, locale), **changes), SAMPLE_NOW)


def read(content: Content) -> PdfReader:
    assert content.pdf is not None
    return PdfReader(io.BytesIO(content.pdf.data), strict=True)


def lines_of(content: Content) -> list[str]:
    text = "\n".join(page.extract_text() for page in read(content).pages)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def root_of(content: Content) -> Any:
    return read(content).trailer["/Root"]


def is_accessible(content: Content) -> bool:
    return b"pdfuaid:part" in root_of(content)["/Metadata"].get_data()


# -- what it says ---------------------------------------------------------------------------------------


def test_it_says_what_the_mail_says() -> None:
    assert lines_of(written()) == [
        "Nordlicht Studios GmbH",
        "Receipt 2026-000123: 49.90 USDC, RB-K7WQ4T2M9XHC5PNA",
        "Receipt number 2026-000123",
        "Payment number RB-K7WQ4T2M9XHC5PNA",
        "Paid December 7, 2026",
        "Due December 6, 2026",
        "Paid to Nordlicht Studios GmbH",
        "Sternstraße 1",
        "20357 Hamburg",
        "Tax ID: DE123456789",
        "Paid by Okafor Studios Ltd",
        "Amina Okafor",
        "12 Harbour Road",
        "Bristol BS1 5DB",
        "Tax ID: GB123456789",
        "Wallet 0x71C7…976F",
        "Plan Gold plan",
        "Period Dec 6, 2026 – Jan 5, 2027",
        "Net 41.93 USDC",
        "Tax (19%) 7.97 USDC",
        "Total 49.90 USDC",
        "Reference studio-0042",
    ]


@pytest.mark.parametrize("locale", ["en", "de", "fr", "es", "pt"])
def test_its_labels_are_those_of_the_page_in_every_language(locale: str) -> None:
    content = written(locale)
    labels = re.findall(r'<th [^>]*scope="row"[^>]*>(.*?)</th>', html.unescape(content.html))
    printed = "\n".join(lines_of(content))
    assert labels
    for label in labels:
        assert " ".join(label.split()) in printed
    assert root_of(content)["/Lang"] == locale


def test_what_is_not_known_has_no_line() -> None:
    (bare,) = [each.letter for each in sample_letters(RECEIVED) if each.case == "nothing optional"]
    content = Renderer(Settings(mail=Mail(receipt_pdf=True))).content(bare, SAMPLE_NOW)
    labels = [line.split()[0] for line in lines_of(content)[2:]]
    assert labels == ["Paid", "Due", "Paid", "Plan", "Total", "Reference"]
    assert content.pdf is not None
    assert content.pdf.filename == "receipt.pdf"


@pytest.mark.parametrize("sample", sample_letters(RECEIVED), ids=lambda sample: sample.case)
def test_every_sample_fits_on_one_page(sample: Any) -> None:
    content = PRINTING.content(sample.letter, SAMPLE_NOW)
    assert len(read(content).pages) == 1
    assert "".join("".join(lines_of(content)).split()).count("USDC") >= 3


# -- names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [GREEK_AND_CYRILLIC, "Žofie Łucja Ğül Ñandú Þóra", "Nguyễn Thị Hồng"])
def test_names_of_europe_and_vietnam_are_printed_and_accessible(name: str) -> None:
    content = written(to_name=name)
    assert name in lines_of(content)
    assert is_accessible(content)


def test_arabic_is_printed_and_accessible() -> None:
    assert is_accessible(written(to_name="أمينة عبد الرحمن", plan="الباقة الذهبية (شهري)"))


@pytest.mark.parametrize("name", ["王小明", "山田 太郎", "김철수", "Zoë 🎉", "אבגד ࠀ", "\U000e0041"])
def test_a_character_that_no_font_has_does_not_lose_the_mail(name: str) -> None:
    content = written(to_name=name, company="")
    assert "12 Harbour Road" in lines_of(content)
    assert name in content.text


@pytest.mark.parametrize(
    "name", ["#panic()", "*b* _i_ $x$ `r` @a <b> = h \\ // c", '#read("/etc/passwd")', '"]}, #emoji.face']
)
def test_a_name_is_never_read_as_markup(name: str) -> None:
    assert name in lines_of(written(to_name=name))


@examples(deadline=None, max_examples=60)  # a busy machine is no failure
@given(st.text(max_size=120), st.text(max_size=500), st.text(max_size=60))
def test_no_text_of_a_person_can_prevent_it(name: str, address: str, tax_id: str) -> None:
    assert written(to_name=name, address=address, tax_id=tax_id, plan=name).pdf is not None


# -- the file -------------------------------------------------------------------------------------------


def test_equal_facts_give_equal_bytes_whenever_they_are_printed() -> None:
    first, again = (
        written(),
        Renderer(Settings(business=SELLER, mail=Mail(receipt_pdf=True))).content(
            sample_letter(RECEIVED, "en"), SAMPLE_NOW.replace(year=2031)
        ),
    )
    assert first.pdf == again.pdf
    assert not {"/CreationDate", "/ModDate"} & set(read(first).metadata or {})


def test_it_is_tagged_titled_and_has_its_fonts_inside() -> None:
    reader = read(written())
    root = root_of(written())
    assert is_accessible(written())
    assert root["/MarkInfo"]["/Marked"]
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert reader.metadata is not None
    assert reader.metadata.title == "Receipt 2026-000123: 49.90 USDC, RB-K7WQ4T2M9XHC5PNA"
    resources: Any = reader.pages[0]["/Resources"]
    for font in resources["/Font"].values():
        (face,) = font["/DescendantFonts"]
        assert {"/FontFile2", "/FontFile3"} & set(face["/FontDescriptor"])


def test_its_name_is_made_of_the_receipts_number_else_of_the_payments() -> None:
    names = [written(receipt_number=number).pdf for number in ("2026-000123", "", 'a/../b"\r\nX: y', "Ü")]
    assert [part.filename for part in names if part] == [
        "receipt-2026-000123.pdf",
        "receipt-RB-K7WQ4T2M9XHC5PNA.pdf",
        "receipt-a-..-b-X-y.pdf",
        "receipt.pdf",
    ]


def test_threads_get_each_their_own() -> None:
    numbers = [f"2026-{n:06}" for n in range(24)]

    def total(number: str) -> bool:
        return f"Receipt number {number}" in lines_of(written(receipt_number=number))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(total, numbers))


# -- the mail -------------------------------------------------------------------------------------------


def test_it_is_attached_to_receipts_alone_and_only_if_asked_for() -> None:
    assert written(kind=NoticeKind.PAYMENT_CREATED).pdf is None
    silent = Renderer(Settings(business=SELLER))
    assert silent.content(sample_letter(RECEIVED), SAMPLE_NOW).pdf is None

    message = parse(PRINTING.render(sample_letter(RECEIVED), SAMPLE_NOW))
    (attached,) = message.iter_attachments()
    assert attached.get_content_type() == "application/pdf"
    assert attached.get_filename() == "receipt-2026-000123.pdf"


class Panic(BaseException):
    """What a panic in the typesetter arrives as: no Exception."""


@pytest.mark.parametrize("fault", [RuntimeError, Panic])
def test_a_mail_goes_out_without_it_if_it_cannot_be_made(
    fault: type[BaseException], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> bytes:
        raise fault("Amina Okafor")

    monkeypatch.setattr(ReceiptPrinter, "_compiled", fails)
    with caplog.at_level(logging.WARNING):
        content = written()
    assert content.pdf is None
    assert "Amina Okafor" in content.text
    assert [record.getMessage() for record in caplog.records] == [
        f"receipt 2026-000123 goes out without its PDF: {fault.__name__}"
    ]


def test_who_interrupts_it_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(ReceiptPrinter, "_compiled", interrupted)
    with pytest.raises(KeyboardInterrupt):
        written()
