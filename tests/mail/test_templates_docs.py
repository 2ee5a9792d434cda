"""docs/mail.md promises names, blocks and examples; they exist and work."""

from __future__ import annotations

import re
from pathlib import Path

from billing.config.schema import Settings
from billing.core.states import NoticeKind
from billing.mail.check import check_templates
from billing.mail.render import Renderer, shipped_templates
from billing.mail.samples import SAMPLE_NOW, sample_letter

PAGE = (Path(__file__).parents[2] / "docs" / "mail.md").read_text("utf-8")


def names_in(heading: str, columns: int) -> set[str]:
    """The words in backticks in the first columns of the table under a heading."""
    section = PAGE.partition(f"### {heading}\n")[2].partition("\n##")[0]
    rows = [line.split(" | ")[:columns] for line in section.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall("`([^`]*)`", " ".join(row))}


def test_every_variable_of_the_page_can_be_printed(tmp_path: Path) -> None:
    names = names_in("Variables", 1)
    assert len(names) > 20
    lines = [f"{name}: {{{{ {name} }}}}\n" for name in sorted(names)]
    (tmp_path / "payment_created.txt").write_text("".join(lines))
    letter = sample_letter(NoticeKind.PAYMENT_CREATED)
    assert Renderer(Settings(), tmp_path).content(letter, SAMPLE_NOW).text.count("\n") == len(names)


def test_every_block_of_the_page_is_there_and_no_other() -> None:
    shipped = {path.name: path.read_text("utf-8") for path in shipped_templates().iterdir()}
    blocks = {
        block
        for base in ("layout", "payment", "statement", "payment_received", "payment_overdue")
        for name in (f"{base}.html", f"{base}.txt")
        for block in re.findall(r"\{%-? block (\w+)", shipped[name])
    }
    assert names_in("Blocks", 3) == blocks


def test_the_examples_work_together(tmp_path: Path) -> None:
    block, layout, theme = re.findall(r"```jinja\n(.*?)```", PAGE, re.S)
    for name, text in (("payment_created.html", block), ("layout.html", layout), ("theme.html", theme)):
        (tmp_path / name).write_text(text, "utf-8")
    assert check_templates(Settings(), tmp_path, [NoticeKind.PAYMENT_CREATED], ["en", "de"]) == []


def test_every_kind_is_explained() -> None:
    for kind in NoticeKind:
        assert f"| `{kind}` |" in PAGE


def test_the_pictures_are_there_and_small() -> None:
    for name in re.findall(r"\]\((mail/[a-z]+\.png)\)", PAGE):
        assert (Path(__file__).parents[2] / "docs" / name).stat().st_size < 120_000
