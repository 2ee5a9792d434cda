"""Reading subscriptions from CSV: every bad cell is named by line, column and reason."""

import dataclasses
from datetime import date
from types import SimpleNamespace

import pytest

from billing.app.csv_rows import OPTIONAL, REQUIRED, SubscriptionRow
from billing.core.money import MAX_AMOUNT_MICROS
from billing.core.periods import Interval, Unit
from tests.support.csv_files import COLUMNS, GOOD, csv_file, faults_of, good_rows, read

# -- good files ---------------------------------------------------------------------------------------


def test_a_good_line_is_read_whole() -> None:
    full = {
        "bill_from": "2026-03-01",
        "ends_on": "2027-01-31",
        "wallet_address": "0x52908400098527886E0F7030069857D2E4169EE7",
        "locale": "pt_BR",
        "company": "Quill & Töchter GmbH",
        "tax_id": "DE 123 456 789",
        "address": "'+1 Harbour Road |Bristol  BS1||",
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
            company="Quill & Töchter GmbH",
            tax_id="DE 123 456 789",
            address="+1 Harbour Road\nBristol  BS1",
        )
    ]


def test_optional_columns_may_be_empty_or_left_out() -> None:
    (empty,) = good_rows(csv_file({}))
    (absent,) = good_rows(csv_file({}, columns=REQUIRED))
    assert absent == dataclasses.replace(empty, present=frozenset(REQUIRED))
    assert (empty.bill_from, empty.ends_on, empty.wallet_address, empty.locale) == (None,) * 4
    assert (empty.company, empty.tax_id, empty.address) == ("", "", "")


KNOWN = SimpleNamespace(
    bill_from=date(2026, 3, 1),
    ends_on=date(2026, 12, 31),
    wallet_address="w" * 20,
    locale="de",
    company="Quill Ltd",
    tax_id="GB123456789",
    address="12 Harbour Road\nBristol",
)


def test_what_the_file_does_not_mention_is_kept_and_an_empty_cell_erases() -> None:
    (absent,) = good_rows(csv_file({}, columns=REQUIRED))
    kept = absent.keeping(KNOWN)
    assert [getattr(kept, name) for name in OPTIONAL] == [getattr(KNOWN, name) for name in OPTIONAL]
    assert not any(getattr(absent, name) for name in OPTIONAL)
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
        ("company", "x" * 121, "it is 121 characters long; at most 120 are allowed"),
        ("company", "Quill\u202eLtd", "it holds a control character (U+202E); take it out"),
        ("company", "Quill\u200bLtd", "it holds an invisible character (U+200B); type it anew"),
        ("company", "Quill\u200eLtd", "it holds an invisible character (U+200E); type it anew"),
        ("company", "Quill https://q.example", "it holds a web address"),
        ("company", "#REF!", "'#REF!' is an error that stands in place of a value"),
        ("tax_id", "1.23457E+16", "is a number whose digits were rounded away"),
        ("tax_id", "GB\u200b123", "it holds an invisible character (U+200B); type the tax number anew"),
        ("tax_id", "9" * 61, "it is 61 characters long; at most 60 are allowed"),
        ("address", "12 Road\nBristol", "line break; write it on one line, with ' | ' between its lines"),
        ("address", "12 Road\tBristol", "it holds a control character (U+0009); take it out"),
        ("address", " | | ", "it is empty: there is nothing between its bars"),
        ("address", "|".join("abcdefghi"), "it has 9 lines; at most 8 are allowed"),
        ("address", "x" * 501, "it is 501 characters long; at most 500 are allowed"),
        ("address", "12 Road | www.q.example", "it holds a web address"),
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


def test_lines_are_counted_as_an_editor_counts_them() -> None:
    content = csv_file({"name": "a\nb\nc"}, {"reference": "x", "amount": "-1"})
    assert [fault.partition(": ")[0] for fault in faults_of(content)] == [
        "line 2, column name",
        "line 5, column amount",
    ]
