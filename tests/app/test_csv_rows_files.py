"""Files that are no table of subscriptions are told so in a line or two; any bytes are read or refused."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from billing.app.csv_rows import REQUIRED, SubscriptionRow
from billing.core.money import MAX_AMOUNT_MICROS
from tests.support.csv_files import COLUMNS, GOOD, csv_file, faults_of, good_rows, read


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
