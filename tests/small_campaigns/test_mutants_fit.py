"""The edits of `make mutants` still fit the program, and each names a test that exists."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.campaigns.mutants.mutant import Mutant
from tests.campaigns.mutants.mutants import MUTANTS

ROOT = Path(__file__).parents[2]


@cache
def functions_of(file: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_edit_fits_exactly_once(mutant: Mutant) -> None:
    for file, old, new in mutant.edits:
        stands = (ROOT / file).read_text(encoding="utf-8").count(old)
        assert stands == 1, f"{file} was changed there, so write the edit anew: {old}"
        assert old != new


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_names_a_test(mutant: Mutant) -> None:
    file, _, name = mutant.test.partition("::")

    assert name.partition("[")[0] in functions_of(file)


def test_names_of_mutants_are_unique() -> None:
    names = [mutant.name for mutant in MUTANTS]

    assert len(names) == len(set(names))
