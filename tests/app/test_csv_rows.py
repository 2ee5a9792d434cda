"""Reading subscriptions from CSV: every bad cell is named by line, column and reason."""

import csv
import io
from datetime import date

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
    empty = good_rows(csv_file({}))
    assert good_rows(csv_file({}, columns=REQUIRED)) == empty
    assert (empty[0].bill_from, empty[0].ends_on, empty[0].wallet_address, empty[0].locale) == (None,) * 4


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
        ("email", "müller@bücher.example.org", "müller@bücher.example.org"),
        ("email", "o'neill@example.org", "o'neill@example.org"),
        ("email", "zoe@shop.test", "zoe@shop.test"),
        ("reference", "r" * 64, "r" * 64),
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
        ("name", "Zoë\x00", "it holds a control character; take it out"),
        ("name", "Zoë\tQuill", "it holds a control character; take it out"),
        ("name", "Zoë\x1b[31m", "it holds a control character; take it out"),
        ("name", "Zoë\x7f", "it holds a control character; take it out"),
        ("name", "Zoë\u2028Quill", "it holds a control character; take it out"),
        ("name", "Zoë\x85Quill", "it holds a control character; take it out"),
        ("reference", "r" * 65, "it is 65 characters long; at most 64 are allowed"),
        ("plan", "p" * 81, "it is 81 characters long; at most 80 are allowed"),
        ("name", "n" * 121, "it is 121 characters long; at most 120 are allowed"),
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
        ("amount", "19,90", "'19,90' is not an amount"),
        ("amount", "1000000000", "'1000000000' is too large"),
        ("interval", "1 fortnight", "'1 fortnight' is not an interval; write for example '30 days'"),
        ("interval", "monthly", "'monthly' is not an interval"),
        ("interval", "0 days", "0 days: an interval is 1 to 3660 days"),
        ("interval", "11 years", "11 years: an interval is 1 to 10 years"),
        ("starts_on", "31.01.2026", "'31.01.2026' is not a date; write YYYY-MM-DD"),
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
    rows, faults = read(csv_file({}, {"reference": "other"}, {"reference": " acme "}, {"reference": "ACME"}))
    assert faults == ["line 4, column reference: 'acme' stands already on line 2"]
    assert [row.line for row in rows] == [2, 3, 5]


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
    header = ",".join((*REQUIRED, "e-mail", "amount", "", "x" * 90)).encode()
    faults = faults_of(header + b"\n")
    assert faults[0] == "line 1, column amount: the column stands there 2 times"
    assert faults[1] == "line 1, column 'e-mail': there is no such column; did you mean email?"
    assert faults[2] == faults[0]
    assert faults[3].startswith("line 1, column '': there is no such column; there are reference, plan")
    assert faults[4].startswith(f"line 1, column '{'x' * 40}': there is no such column")
    assert len(faults) == 5


def test_column_names_are_lower_case() -> None:
    faults = faults_of(csv_file({}).replace(b"reference", b"Reference", 1))
    assert "line 1, column reference: the column is missing" in faults
    assert "line 1, column 'Reference': there is no such column; did you mean reference?" in faults


def test_a_file_separated_by_semicolons_is_told_so() -> None:
    content = csv_file({}).replace(b",", b";")
    assert read(content) == ([], ["line 1: the columns are separated by ';'; separate them by ','"])


@pytest.mark.parametrize(
    ("cells", "count"), [(b"acme,Gold\n", 2), (b"acme" + b"," * 20 + b"\n", 21), (b" \n", 1)]
)
def test_a_line_of_another_length_is_named(cells: bytes, count: int) -> None:
    content = csv_file({"reference": "first"}, columns=REQUIRED) + cells
    assert faults_of(content) == [f"line 3: {count} cells, and the header names 7 columns"]


def test_a_file_in_another_encoding_is_named_by_line_and_byte() -> None:
    content = csv_file({}, {"reference": "other"}).decode().encode("latin-1")
    faults = faults_of(content)
    column = len(b"acme,Gold plan,Zo") + 1
    assert faults[0] == (f"line 2: byte {column} is not UTF-8 text; save the file with the encoding UTF-8")
    assert faults[1].startswith("line 3: byte ")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "cp037"])
def test_a_file_in_a_foreign_encoding_is_refused(encoding: str) -> None:
    rows, faults = read(csv_file({}).decode().encode(encoding))
    assert rows == []
    assert any("is not UTF-8 text" in fault or "column is missing" in fault for fault in faults)


def test_a_cell_of_a_megabyte_is_refused_without_repeating_it() -> None:
    rows, faults = read(csv_file({"name": "n" * 1_000_000}, {"reference": "last", "amount": "-1"}))
    assert rows == []
    assert faults[0] == "line 2: a cell is longer than 10000 characters"
    assert faults[1].startswith("line 3, column amount: ")


def test_a_line_of_many_megabytes_is_refused_without_repeating_it() -> None:
    faults = faults_of(csv_file({"name": "n" * 5_000_000}))
    assert faults[0] == "line 2: a cell is longer than 10000 characters"
    assert all(len(fault) < 200 for fault in faults)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'acme,"Gold"plan,n,e,1,1,1\n', "line 2: not valid CSV: ',' expected after '\"'"),
        (b'acme,"Gold plan,n,e,1,1,1\n', "line 2: not valid CSV: unexpected end of data"),
        (b"acme,Gold\rplan,n,e,1,1,1\n", "line 2: not valid CSV: new-line character seen in unquoted field"),
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
    assert faults_of(b"," * 1_000_000) == [
        f"line 1: it names 1000001 columns; there are {', '.join(COLUMNS)}"
    ]


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
