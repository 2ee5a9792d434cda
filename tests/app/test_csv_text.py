"""Whatever spreadsheet or editor wrote a good file, its lines are the same; what is no text is refused."""

import csv
import dataclasses
import io
import os

import pytest

from billing.app.csv_rows import read_rows
from billing.app.csv_text import CsvText, csv_text, explain_bytes
from tests.support.csv_files import csv_file, faults_of, good_rows, read

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


# -- the lines themselves ------------------------------------------------------------------------------

NAMES = ("reference", "plan", "amount")


def text_of(content: bytes) -> tuple[CsvText, list[str]]:
    text = csv_text(io.BytesIO(content), NAMES)
    return text, list(text.lines)


def test_the_lines_begin_with_the_header_and_keep_their_ends() -> None:
    text, lines = text_of(b"reference,plan\r\nacme,Gold\racme2,Gold\n")
    assert (text.separator, text.skipped) == (",", 0)
    assert lines == ["reference,plan\r\n", "acme,Gold\r", "acme2,Gold\n"]


@pytest.mark.parametrize(
    ("header", "separator"),
    [
        (b"reference;plan,e;amount\n", ";"),  # a comma in a name that is none of ours
        (b'"Reference"\t" PLAN "\n', "\t"),
        (b"reference\n", ","),
        (b"nothing|of|ours\n", ","),
    ],
)
def test_the_separator_is_the_one_by_which_most_columns_are_found(header: bytes, separator: str) -> None:
    assert text_of(header)[0].separator == separator


def test_what_stands_before_the_header_is_counted_and_left_out() -> None:
    text, lines = text_of(b"sep=;\n;;\n\nreference;plan\n")
    assert (text.separator, text.skipped, lines) == (";", 3, ["reference;plan\n"])


def test_the_line_that_names_the_separator_counts_as_the_first_line_alone() -> None:
    text, lines = text_of(b"\nsep=;\nreference,plan\n")
    assert (text.skipped, lines[0]) == (1, "sep=;\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1: the file is empty; its first line names the columns: reference,plan,amount"),
        (b"\n,,\n", "line 2: the file is empty; its first line names the columns: reference,plan,amount"),
        (b"%PDF-1.7", "line 1: the file is a PDF document and no CSV; save it as 'CSV UTF-8'"),
        (b"\x1f\x8b\x08", "line 1: the file is compressed with gzip and no CSV; save it as 'CSV UTF-8'"),
        (b"\x00\x00\xfe\xffabcd", "line 1: the file is UTF-32 text and no CSV; save it as 'CSV UTF-8'"),
    ],
)
def test_a_file_without_a_header_is_refused_with_the_place(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match="line") as refused:
        text_of(content)
    assert str(refused.value) == said


@pytest.mark.parametrize(
    ("cell", "guess"),
    [
        (b"Zo\xeb", "the byte 0xEB is not UTF-8 text (in Windows-1252 it would be 'ë'); "),
        (b"\x81", "the byte 0x81 is not UTF-8 text; "),  # none in Windows-1252 either
        (b"\xffa\xeb", "the byte 0xFF is not UTF-8 text (in Windows-1252 it would be 'ÿ'); "),
    ],
)
def test_a_byte_that_is_no_text_is_explained_with_what_it_may_have_been(cell: bytes, guess: str) -> None:
    _, lines = text_of(b"reference\n" + cell + b"\n")
    assert explain_bytes(lines[1]) == guess + "save the file as 'CSV UTF-8'"


def test_good_text_needs_no_explanation() -> None:
    assert explain_bytes("Zoë \ufffd") is None
