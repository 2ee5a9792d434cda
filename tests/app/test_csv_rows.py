"""Reading subscriptions from CSV: every bad cell is named by line, column and reason."""

import csv
import dataclasses
import io
import os
from datetime import date
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.app.csv_rows import OPTIONAL, REQUIRED, SubscriptionRow, read_rows
from billing.core.money import MAX_AMOUNT_MICROS
from billing.core.periods import Interval, Unit

GOOD = {
    "reference": "acme",
    "plan": "Gold plan",
    "name": "Zoë Quillfeather",
    "email": "zoe@example.org",
    "amount": "19.90",
    "interval": "1 month",
    "starts_on": "2026-01-31",
}
COLUMNS = (*REQUIRED, *OPTIONAL)


def csv_file(*rows: dict[str, str], columns: tuple[str, ...] = COLUMNS) -> bytes:
    """A file of rows that differ from a good one in what is given."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows([GOOD | row for row in rows])
    return text.getvalue().encode()


def read(content: bytes) -> tuple[list[SubscriptionRow], list[str]]:
    faults: list[str] = []
    return list(read_rows(io.BytesIO(content), faults)), faults


def faults_of(content: bytes) -> list[str]:
    return read(content)[1]


def good_rows(content: bytes) -> list[SubscriptionRow]:
    rows, faults = read(content)
    assert faults == []
    return rows


# -- good files ---------------------------------------------------------------------------------------


def test_a_good_line_is_read_whole() -> None:
    full = {
        "bill_from": "2026-03-01",
        "ends_on": "2027-01-31",
        "wallet_address": "0x52908400098527886E0F7030069857D2E4169EE7",
        "locale": "pt_BR",
    }
    assert good_rows(csv_file(full)) == [
        SubscriptionRow(
            line=2,
            reference="acme",
            plan="Gold plan",
            name="Zoë Quillfeather",
            email="zoe@example.org",
            amount=19_900_000,
            interval=Interval(1, Unit.MONTH),
            starts_on=date(2026, 1, 31),
            bill_from=date(2026, 3, 1),
            ends_on=date(2027, 1, 31),
            wallet_address="0x52908400098527886E0F7030069857D2E4169EE7",
            locale="pt-BR",
        )
    ]


def test_optional_columns_may_be_empty_or_left_out() -> None:
    (empty,) = good_rows(csv_file({}))
    (absent,) = good_rows(csv_file({}, columns=REQUIRED))
    assert absent == dataclasses.replace(empty, present=frozenset(REQUIRED))
    assert (empty.bill_from, empty.ends_on, empty.wallet_address, empty.locale) == (None,) * 4


KNOWN = SimpleNamespace(
    bill_from=date(2026, 3, 1), ends_on=date(2026, 12, 31), wallet_address="w" * 20, locale="de"
)


def test_what_the_file_does_not_mention_is_kept_and_an_empty_cell_erases() -> None:
    (absent,) = good_rows(csv_file({}, columns=REQUIRED))
    kept = absent.keeping(KNOWN)
    assert [getattr(kept, name) for name in OPTIONAL] == [getattr(KNOWN, name) for name in OPTIONAL]
    assert all(getattr(absent, name) is None for name in OPTIONAL)
    (some,) = good_rows(csv_file({"ends_on": "2027-01-01"}, columns=(*REQUIRED, "bill_from", "ends_on")))
    kept = some.keeping(KNOWN)
    assert (kept.bill_from, kept.ends_on) == (None, date(2027, 1, 1))
    assert (kept.wallet_address, kept.locale) == (KNOWN.wallet_address, KNOWN.locale)
    (empty,) = good_rows(csv_file({}))
    assert empty.keeping(KNOWN) == empty


def test_a_kept_end_before_a_new_start_is_a_contradiction() -> None:
    (row,) = good_rows(csv_file({"starts_on": "2027-02-01"}, columns=REQUIRED))
    assert row.contradiction() is None
    said = "line 2, column ends_on: 2026-12-31 is before starts_on 2027-02-01"
    assert row.keeping(KNOWN).contradiction() == said


def test_columns_may_stand_in_any_order() -> None:
    backwards = tuple(reversed(COLUMNS))
    assert good_rows(csv_file({}, columns=backwards)) == good_rows(csv_file({}))


def test_the_mark_that_excel_puts_first_is_no_part_of_the_first_column() -> None:
    assert good_rows(b"\xef\xbb\xbf" + csv_file({})) == good_rows(csv_file({}))
    quoted = b'\xef\xbb\xbf"reference"' + csv_file({}).removeprefix(b"reference")
    assert good_rows(quoted) == good_rows(csv_file({}))


def test_the_line_ends_of_windows_and_blank_lines_are_no_fault() -> None:
    windows = csv_file({}, {"reference": "other"}).replace(b"\n", b"\r\n")
    assert len(good_rows(windows)) == 2
    blank = csv_file({}).replace(b"acme", b"\n\nacme") + b"\n\n"
    assert [row.line for row in good_rows(blank)] == [4]
    assert len(good_rows(csv_file({}).removesuffix(b"\n"))) == 1


def test_spaces_around_cells_and_column_names_do_not_count() -> None:
    spaced = csv_file({key: f"  {value} " for key, value in GOOD.items()}).replace(
        b"plan,name", b" plan , name"
    )
    assert good_rows(spaced) == good_rows(csv_file({}))


def test_quoted_commas_and_quotes_are_kept() -> None:
    (row,) = good_rows(csv_file({"name": 'Quillfeather, Zoë "Z"', "plan": "A & B; C"}))
    assert (row.name, row.plan) == ('Quillfeather, Zoë "Z"', "A & B; C")


@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [
        ("amount", "0.000001", 1),
        ("amount", "999999999.999999", MAX_AMOUNT_MICROS),
        ("interval", "30", Interval(30, Unit.DAY)),
        ("interval", "2 weeks", Interval(2, Unit.WEEK)),
        ("starts_on", "2024-02-29", date(2024, 2, 29)),
        ("starts_on", "1970-01-01", date(1970, 1, 1)),
        ("starts_on", "2100-12-31", date(2100, 12, 31)),
        ("email", "zoe.quill+bills@mail.example.co.uk", "zoe.quill+bills@mail.example.co.uk"),
        ("email", "user@bücher.example", "user@bücher.example"),
        ("email", "user@xn--bcher-kva.example", "user@xn--bcher-kva.example"),
        ("email", "o'neill@example.org", "o'neill@example.org"),
        ("email", "zoe@shop.test", "zoe@shop.test"),
        ("reference", "r" * 64, "r" * 64),
        ("reference", "417E02", "417E02"),
        ("reference", "2026-11-25", "2026-11-25"),
        ("reference", "1.2.34", "1.2.34"),
        ("name", "Booking.com B.V.", "Booking.com B.V."),
        ("name", "True Love", "True Love"),
        ("name", "Zo\u200dë", "Zo\u200dë"),
        ("plan", "HERB-garden", "HERB-garden"),
        ("amount", "0.125", 125_000),
        ("amount", "1500", 1_500_000_000),
        ("amount", "1.5000", 1_500_000),
        ("amount", "1500.500", 1_500_500_000),
        ("name", "نور حداد", "نور حداد"),
        ("locale", "de", "de"),
        ("ends_on", "2026-01-31", date(2026, 1, 31)),
    ],
)
def test_a_cell_is_read(column: str, cell: str, value: object) -> None:
    (row,) = good_rows(csv_file({column: cell}))
    assert getattr(row, column) == value


# -- bad cells ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        *[(column, "", "it is empty") for column in REQUIRED],
        *[(column, "  ", "it is empty") for column in REQUIRED],
        *[(column, "a\nb", "it holds a line break; write it on one line") for column in COLUMNS],
        ("name", "Zoë\r\nBcc: all@example.org", "it holds a line break; write it on one line"),
        ("name", "Zoë,\r", "it holds a line break; write it on one line"),
        ("name", "Zoë\x00", "it holds a control character (U+0000); take it out"),
        ("name", "Zoë\tQuill", "it holds a control character (U+0009); take it out"),
        ("name", "Zoë\x1b[31m", "it holds a control character (U+001B); take it out"),
        ("name", "Zoë\x7f", "it holds a control character (U+007F); take it out"),
        ("name", "Zoë\u2028Quill", "it holds a control character (U+2028); take it out"),
        ("name", "Zoë\x85Quill", "it holds a control character (U+0085); take it out"),
        ("plan", "Gold\x9b31m", "it holds a control character (U+009B); take it out"),
        ("name", "Zoë\u202egpj.exe", "it holds a control character (U+202E); take it out"),
        (
            "name",
            "Zo\ufffd",
            "a character of it was lost when the file was converted (U+FFFD); enter it again",
        ),
        ("name", "\u200b\u2060", "it is empty: nothing in it can be seen"),
        ("reference", "ac\u200bme", "it holds an invisible character (U+200B); type the reference anew"),
        ("reference", "acme\u200f", "it holds an invisible character (U+200F); type the reference anew"),
        ("reference", "ac\u00a0me", "it holds a blank that is no space (U+00A0); type the reference anew"),
        ("reference", "4.17E+02", "'4.17E+02' is a number whose digits were rounded away; a spreadsheet"),
        ("reference", "4,17E+15", "'4,17E+15' is a number whose digits were rounded away; a spreadsheet"),
        (
            "reference",
            "25/11/2026",
            "'25/11/2026' looks like a date that was a reference before; a spreadsheet",
        ),
        ("reference", "1-Mar", "'1-Mar' looks like a date that was a reference before; a spreadsheet"),
        ("reference", "TRUE", "if it is meant so, import it with --allow-similar"),
        ("reference", "#REF!", "'#REF!' is an error that stands in place of a value; a spreadsheet"),
        ("plan", "#NAME?", "'#NAME?' is an error that stands in place of a value; a spreadsheet"),
        ("name", "FALSE", "'FALSE' is a truth value and no text; a spreadsheet"),
        ("plan", "Gold [RB-A4E7WC6V0QQ7E6VM]", "it holds a payment number (RB-…)"),
        ("plan", "rb-a4e7wc6v0qq7e6vm", "it holds a payment number (RB-…)"),
        ("plan", "[RB- Gold", "it holds a payment number (RB-…)"),
        ("plan", "R\u200bB-A4E7WC6V0QQ7E6VM", "it holds a payment number (RB-…)"),
        ("name", "https://evil.example/pay", "it holds a web address, which mail would show"),
        ("name", "Win at WWW.evil.example", "it holds a web address, which mail would show"),
        ("name", "Zoë evil.example/pay", "it holds a web address, which mail would show"),
        ("plan", "ftp://x", "a link; write a plan without it"),
        ("reference", "r" * 65, "it is 65 characters long; at most 64 are allowed"),
        ("plan", "p" * 81, "it is 81 characters long; at most 80 are allowed"),
        ("name", "n" * 121, "it is 121 characters long; at most 120 are allowed"),
        ("email", "josé@example.com", "has 'é' before the @: only servers with SMTPUTF8 take such mail"),
        ("email", "müller@bücher.example.org", "has 'ü' before the @"),
        ("email", "u@☃.example", "is not an e-mail address: "),
        ("email", "zoe", "'zoe' is not an e-mail address: "),
        ("email", "zoe@", "'zoe@' is not an e-mail address: "),
        ("email", "@example.org", "'@example.org' is not an e-mail address: "),
        ("email", "zoe@example", "'zoe@example' is not an e-mail address: "),
        ("email", "zoe@exa mple.org", "'zoe@exa mple.org' is not an e-mail address: "),
        ("email", "zoe@@example.org", "'zoe@@example.org' is not an e-mail address: "),
        ("email", "zoe..q@example.org", "'zoe..q@example.org' is not an e-mail address: "),
        ("email", "Zoe <zoe@example.org>", "'Zoe <zoe@example.org>' is not an e-mail address: "),
        ("email", "zoe@example.org,b@example.org", "is not an e-mail address: "),
        ("email", "zoe@[127.0.0.1]", "is not an e-mail address: "),
        ("email", "z" * 65 + "@example.org", "is not an e-mail address: "),
        ("email", "z@" + "a" * 64 + ".org", "is not an e-mail address: "),
        ("email", "z@" + "a." * 130 + "org", "it is too long for an e-mail address"),
        ("amount", "-5.00", "'-5.00' is not an amount; write a plain decimal such as 19.90"),
        ("amount", "0", "'0' is zero; an amount must be positive"),
        ("amount", "1.0000001", "'1.0000001' has more than six decimal places; USDC has six"),
        ("amount", "1e3", "'1e3' is not an amount"),
        ("amount", "NaN", "'NaN' is not an amount"),
        ("amount", "19,90", "'19,90' is not an amount: it has a decimal comma; write 19.90"),
        ("amount", "1.500", "'1.500' may mean 1500 or 1.5; write 1500.00 or 1.50"),
        ("amount", "1,500", "'1,500' may mean 1500 or 1.5; write 1500.00 or 1.50"),
        ("amount", "12.345", "'12.345' may mean 12345 or 12.345; write 12345.00 or 12.3450"),
        (
            "amount",
            "1,500.00",
            "'1,500.00' is not an amount: it has marks between its thousands; write 1500.00",
        ),
        ("amount", "1.500,25", "it has marks between its thousands; write 1500.25"),
        ("amount", "1 234 567", "it has marks between its thousands; write 1234567.00"),
        ("amount", "4.17E+02", "'4.17E+02' is a number whose digits were rounded away; a spreadsheet"),
        ("amount", "#DIV/0!", "'#DIV/0!' is an error that stands in place of a value; a spreadsheet"),
        ("amount", "1000000000", "'1000000000' is too large"),
        ("interval", "1 fortnight", "'1 fortnight' is not an interval; write for example '30 days'"),
        ("interval", "monthly", "'monthly' is not an interval"),
        ("interval", "0 days", "0 days: an interval is 1 to 3660 days"),
        ("interval", "11 years", "11 years: an interval is 1 to 10 years"),
        (
            "starts_on",
            "31.01.2026",
            "'31.01.2026' is not a date; write YYYY-MM-DD, here 2026-01-31 (a spread",
        ),
        ("starts_on", "46351", "'46351' is not a date; write YYYY-MM-DD, here 2026-11-25 (a spreadsheet"),
        ("starts_on", "25/11/2026", "is not a date; write YYYY-MM-DD, here 2026-11-25 (a spreadsheet"),
        ("starts_on", "11/25/26", "is not a date; write YYYY-MM-DD, here 2026-11-25 (a spreadsheet"),
        ("starts_on", "03/04/2026", "here 2026-04-03 or 2026-03-04 (a spreadsheet"),
        ("ends_on", "2026/11/25 ", "here 2026-11-25 (a spreadsheet"),
        ("ends_on", "#N/A", "'#N/A' is an error that stands in place of a value; a spreadsheet"),
        ("starts_on", "2026-02-29", "'2026-02-29' is not a date; write YYYY-MM-DD"),
        ("starts_on", "20260131", "'20260131' is not a date; write YYYY-MM-DD"),
        ("starts_on", "2026-W05-6", "'2026-W05-6' is not a date; write YYYY-MM-DD"),
        ("starts_on", "２０２６-01-31", "is not a date; write YYYY-MM-DD"),
        ("starts_on", "1969-12-31", "1969-12-31 is not between the years 1970 and 2100"),
        ("bill_from", "2101-01-01", "2101-01-01 is not between the years 1970 and 2100"),
        ("ends_on", "never", "'never' is not a date; write YYYY-MM-DD"),
        ("ends_on", "2026-01-30", "2026-01-30 is before starts_on 2026-01-31"),
        ("wallet_address", "short", "not a wallet address: 20 to 100 letters and digits"),
        ("wallet_address", "x" * 101, "not a wallet address: 20 to 100 letters and digits"),
        ("wallet_address", "<script>alert(1)</script>", "not a wallet address"),
        ("locale", "german!", "'german!' is not a locale; write for example 'de' or 'pt-BR'"),
        ("locale", "de-" + "x" * 40, "is not a locale"),
    ],
)
def test_a_bad_cell_is_named_by_line_column_and_reason(column: str, cell: str, reason: str) -> None:
    rows, faults = read(csv_file({"reference": "first"}, {column: cell}, {"reference": "last"}))
    assert [row.reference for row in rows] == ["first", "last"]
    assert len(faults) == 1
    place, _, said = faults[0].partition(": ")
    assert place == f"line 3, column {column}"
    assert reason in said
    assert len(faults[0]) < 400


def test_every_bad_cell_of_a_line_is_named() -> None:
    bad = {"email": "zoe", "amount": "-1", "interval": "x", "starts_on": "x", "ends_on": "x", "name": ""}
    columns = [fault.partition(": ")[0] for fault in faults_of(csv_file(bad))]
    assert columns == [f"line 2, column {column}" for column in COLUMNS if column in bad]


def test_a_reference_that_stands_twice_is_named_with_its_first_line() -> None:
    rows, faults = read(csv_file({}, {"reference": "other"}, {"reference": " acme "}, {"reference": "last"}))
    assert faults == ["line 4, column reference: 'acme' stands already on line 2"]
    assert [row.line for row in rows] == [2, 3, 5]


@pytest.mark.parametrize(("first", "second"), [("00417", "417"), ("ACME-1", "acme-l"), ("Zoë 1", "ZOË1")])
def test_references_that_look_alike_are_asked_about(first: str, second: str) -> None:
    content = csv_file({"reference": first}, {"reference": second})
    rows, faults = read(content)
    assert faults == [
        f"line 3, column reference: {second!r} looks like {first!r} on line 2; correct one, or import it "
        "with --allow-similar if they are two subscriptions"
    ]
    assert [row.reference for row in rows] == [first]
    faults = []
    allowed = list(read_rows(io.BytesIO(content), faults, allow_similar=True))
    assert ([row.reference for row in allowed], faults) == ([first, second], [])


def test_a_person_may_vouch_for_a_reference_that_looks_wrecked_but_not_for_the_rest() -> None:
    content = csv_file({"reference": "4.17E+02", "name": "TRUE"}, {"reference": "x", "amount": "4.17E+02"})
    faults: list[str] = []
    (row,) = read_rows(
        io.BytesIO(content + csv_file({"reference": "y", "name": "http://x"})[len(csv_file()) :]),
        faults,
        allow_similar=True,
    )
    assert row.reference == "4.17E+02"
    assert [fault.partition(": ")[0] for fault in faults] == ["line 3, column amount", "line 4, column name"]


def test_what_is_known_already_is_not_asked_about_again() -> None:
    content = csv_file(*[{"reference": reference} for reference in ("00417", "417", "4.17E+02", "1-Mar")])
    asked: list[str] = []

    def is_known(reference: str) -> bool:
        asked.append(reference)
        return reference != "1-Mar"

    faults: list[str] = []
    rows = list(read_rows(io.BytesIO(content), faults, is_known=is_known))
    assert [row.reference for row in rows] == ["00417", "417", "4.17E+02"]
    assert [fault.partition(": ")[0] for fault in faults] == ["line 5, column reference"]
    assert asked == ["00417", "417", "4.17E+02", "1-Mar"]


@pytest.mark.parametrize("known", ["00417", "417"])
def test_of_two_that_look_alike_one_new_one_is_enough_to_ask(known: str) -> None:
    faults: list[str] = []
    content = csv_file({"reference": "00417"}, {"reference": "417"})
    list(read_rows(io.BytesIO(content), faults, is_known=lambda reference: reference == known))
    assert len(faults) == 1


def test_twice_the_same_reference_is_no_matter_of_likeness() -> None:
    faults: list[str] = []
    list(read_rows(io.BytesIO(csv_file({}, {})), faults, allow_similar=True))
    assert faults == ["line 3, column reference: 'acme' stands already on line 2"]


def test_lines_are_counted_as_an_editor_counts_them() -> None:
    content = csv_file({"name": "a\nb\nc"}, {"reference": "x", "amount": "-1"})
    assert [fault.partition(": ")[0] for fault in faults_of(content)] == [
        "line 2, column name",
        "line 5, column amount",
    ]


# -- bad files ----------------------------------------------------------------------------------------


def test_an_empty_file_is_told_what_it_should_hold() -> None:
    assert faults_of(b"") == [
        f"line 1: the file is empty; its first line names the columns: {','.join(COLUMNS)}"
    ]


def test_a_file_of_columns_alone_holds_nothing_and_no_fault() -> None:
    assert read(csv_file()) == ([], [])


@pytest.mark.parametrize("column", REQUIRED)
def test_a_missing_column_is_named(column: str) -> None:
    columns = tuple(name for name in COLUMNS if name != column)
    assert read(csv_file({}, columns=columns)) == ([], [f"line 1, column {column}: the column is missing"])


def test_unknown_and_doubled_columns_are_named() -> None:
    header = ",".join((*REQUIRED, "e-mail", "Amount", "", "x" * 90)).encode()
    faults = faults_of(header + b"\n")
    assert faults[0] == "line 1, column 'e-mail': there is no such column; did you mean email?"
    assert faults[1] == "line 1, column amount: the column stands there 2 times"
    assert faults[2] == "line 1: column 10 has no name; name it or take it out"
    assert faults[3].startswith(f"line 1, column '{'x' * 40}': there is no such column")
    assert len(faults) == 4


def test_a_file_without_a_header_is_told_so_in_one_sentence() -> None:
    (fault,) = faults_of(csv_file({})[len(csv_file()) :])
    assert fault.startswith(
        "line 1: it names none of the columns; the first line must, and there are reference"
    )


def test_column_names_may_be_written_in_other_letters_and_with_blanks() -> None:
    content = csv_file({}).replace(b"reference", b" Reference", 1).replace(b"starts_on", b"STARTS ON ")
    assert good_rows(content) == good_rows(csv_file({}))


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (b"acme\n", "1 cell, and the header names 7 columns; an empty cell needs its ',' as well"),
        (b"acme,Gold\n", "2 cells, and the header names 7 columns; an empty cell needs its ',' as well"),
        (
            b"acme,Gold,n,e@example.org,19,90,1 month,2026-01-31\n",
            "8 cells, and the header names 7 columns; a cell that holds ',' must stand in quotation marks",
        ),
        (
            b'acme,Gold,"n,e\nx,y",1\n',
            "4 cells, and the header names 7 columns; a quotation mark may be open there that should not be",
        ),
    ],
)
def test_a_line_of_another_length_is_named(cells: bytes, said: str) -> None:
    content = csv_file({"reference": "first"}, columns=REQUIRED) + cells
    assert faults_of(content) == [f"line 3: {said}"]


def test_a_file_in_another_encoding_is_named_by_line_and_byte() -> None:
    content = csv_file({}, {"reference": "other"}).decode().encode("latin-1")
    faults = faults_of(content)
    assert faults == [
        "line 2, column name: the byte 0xEB is not UTF-8 text (in Windows-1252 it would be 'ë'); "
        "save the file as 'CSV UTF-8'"
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            csv_file({}).decode().encode("utf-32"),
            "the file is UTF-32 text and no CSV; save it as 'CSV UTF-8'",
        ),
        (csv_file({}).decode().encode("cp037"), "is not UTF-8 text"),
        (
            b"PK\x03\x04rest",
            "the file is a workbook (.xlsx, .ods) or another ZIP archive and no CSV; save it",
        ),
        (b"\xd0\xcf\x11\xe0rest", "the file is an Excel workbook (.xls) and no CSV; save it"),
    ],
)
def test_a_file_that_is_no_text_we_know_is_refused_in_one_sentence(content: bytes, said: str) -> None:
    rows, faults = read(content)
    assert rows == []
    (fault,) = faults
    assert fault.startswith("line 1")
    assert said in fault


TOO_LONG = "line 2: a cell is longer than 10000 characters; maybe a quotation mark is not closed before it"


def test_a_cell_of_a_megabyte_is_refused_without_repeating_it() -> None:
    rows, faults = read(csv_file({"name": "n" * 1_000_000}, {"reference": "last", "amount": "-1"}))
    assert rows == []
    assert faults[0] == TOO_LONG
    assert faults[1].startswith("line 3, column amount: ")


def test_a_line_of_many_megabytes_is_refused_without_repeating_it() -> None:
    faults = faults_of(csv_file({"name": "n" * 5_000_000}))
    assert faults[0] == TOO_LONG
    assert all(len(fault) < 200 for fault in faults)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'acme,"Gold"plan,n,e,1,1,1\n', "line 2: text follows the quotation mark that closes a cell; "),
        (
            b'acme,"Gold plan,n,e,1,1,1\n',
            "line 2, column plan: a quotation mark opens the cell and none closes",
        ),
        (b'\n\n"acme","Gold","n,e,1,1,1\n', "line 4, column name: a quotation mark opens the cell and none"),
    ],
)
def test_a_line_that_is_no_csv_is_named(line: bytes, reason: str) -> None:
    faults = faults_of(csv_file(columns=REQUIRED) + line)
    assert len(faults) == 1
    assert faults[0].startswith(reason)


def test_the_first_thousand_faults_are_spelt_out() -> None:
    rows = [{"reference": f"r{i}", "amount": "-1", "email": "zoe"} for i in range(3000)]
    faults = faults_of(csv_file(*rows))
    assert len(faults) == 1001
    assert faults[-1] == "and maybe more: reading stopped after 1000 faults"
    assert faults[999].startswith("line 501, ")


def test_a_thousand_faults_among_good_lines_stop_the_reading_too() -> None:
    rows = [{"reference": f"r{i}", "amount": "-1" if i % 2 else "1"} for i in range(3000)]
    good, faults = read(csv_file(*rows))
    assert len(faults) == 1001
    assert len(good) <= 1001


def test_a_header_of_a_million_columns_is_refused_in_one_line() -> None:
    assert faults_of(b"name" + b",x" * 900_000) == [
        f"line 1: it names 900001 columns; there are {', '.join(COLUMNS)}"
    ]


# -- what spreadsheets and editors make of a good file -------------------------------------------------

GOOD_FILE = csv_file({"name": "Zoë; Ünal | Söhne", "bill_from": "2026-03-01"}, {"reference": "other"})


def separated_by(separator: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=separator).writerows(csv.reader(io.StringIO(GOOD_FILE.decode())))
    return out.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        *[separated_by(separator).encode() for separator in ";\t|"],
        *[GOOD_FILE.decode().encode(encoding) for encoding in ("utf-16", "utf-16-le", "utf-16-be")],
        b"\xfe\xff" + GOOD_FILE.decode().encode("utf-16-be"),
        separated_by("\t").encode("utf-16"),
        GOOD_FILE.replace(b"\n", b"\r"),
        GOOD_FILE.replace(b"\n", b"\r\n") + b"\x0a",
        GOOD_FILE.replace(b"\n", b",,,\n"),
        GOOD_FILE + b",,,,,,,,,,\n" * 3,
        GOOD_FILE + b' , ,"",\n;\n'.replace(b";", b" "),
    ],
    ids=lambda content: str(content[:12]),
)
def test_every_spelling_of_a_good_file_is_read_the_same(content: bytes) -> None:
    assert good_rows(content) == good_rows(GOOD_FILE)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    ("first", "separator"), [("sep=;", ";"), ('"sep=,"', ","), ("SEP=\t", "\t"), ("sep=|\r", "|")]
)
def test_the_line_that_names_the_separator_is_obeyed_and_counted(
    encoding: str, first: str, separator: str
) -> None:
    content = f"{first}\n{separated_by(separator)}".encode(encoding)
    expected = [dataclasses.replace(row, line=row.line + 1) for row in good_rows(GOOD_FILE)]
    assert good_rows(content) == expected


def test_a_separator_that_is_none_is_refused() -> None:
    said = "line 1: it says that 'x' separates the cells; separate them by ','"
    assert faults_of(b"sep=x\n" + GOOD_FILE) == [said]


def test_blank_lines_before_the_header_are_counted() -> None:
    content = b"\n,,,\n" + csv_file({}, {"reference": "bad", "amount": "x"})
    rows, faults = read(content)
    assert [row.line for row in rows] == [4]
    assert [fault.partition(":")[0] for fault in faults] == ["line 5, column amount"]


def test_a_comma_for_the_decimal_point_is_told_in_a_file_of_semicolons() -> None:
    content = separated_by(";").replace("19.90", "19,90").encode()
    assert faults_of(content)[0].startswith(
        "line 2, column amount: '19,90' is not an amount: it has a decimal"
    )


def test_half_a_character_of_utf_16_is_told() -> None:
    faults = faults_of(GOOD_FILE.decode().encode("utf-16") + b"x\x00\x41")
    assert len(faults) == 1
    assert faults[0].startswith("line 4")


def test_a_file_is_left_open_for_its_owner() -> None:
    for content in (GOOD_FILE, b"PK\x03\x04", b""):
        file = io.BytesIO(content)
        list(read_rows(file, []))
        assert not file.closed


def test_a_pipe_is_read_as_a_file_is() -> None:
    reading, writing = os.pipe()
    with open(writing, "wb") as end:
        end.write(b"\xff\xfe" + separated_by(";").encode("utf-16-le"))
    with open(reading, "rb") as end:
        faults: list[str] = []
        assert list(read_rows(end, faults)) == good_rows(GOOD_FILE)
    assert faults == []


# -- anything -----------------------------------------------------------------------------------------

cells = st.one_of(
    st.sampled_from(sorted(GOOD.values())),
    st.text(max_size=30),
    st.emails(),
    st.dates().map(str),
    st.text('"\r\n,;\x00\ufeff', max_size=6),
)


@given(st.binary(max_size=400))
@example(b"\xef\xbb\xbf")
@example(b'"')
@example(b"\x00")
@example(b"\r")
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    rows, faults = read(content)
    assert faults  # no bytes so short and wild can name all seven columns
    assert rows == []


@given(st.lists(st.dictionaries(st.sampled_from(COLUMNS), cells, max_size=5), max_size=4))
def test_any_cells_are_read_or_refused(changes: list[dict[str, str]]) -> None:
    rows, faults = read(csv_file(*changes))
    assert len(rows) + len(faults) >= len(changes)
    assert all(fault.startswith("line ") for fault in faults)
    for row in rows:
        for value in (row.reference, row.plan, row.name, row.email):
            assert value.strip() == value != ""
            assert not set(value) & set("\r\n\x00\x1b\x85\u2028")
        assert 1 <= row.amount <= MAX_AMOUNT_MICROS


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_any_lines_below_a_good_header_are_read_or_refused(lines: list[bytes]) -> None:
    rows, faults = read(csv_file() + b"\n".join(lines))
    assert all(fault.startswith("line ") for fault in faults)
    assert all(isinstance(row, SubscriptionRow) for row in rows)
