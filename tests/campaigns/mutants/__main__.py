"""Switch each guard off in a copy of the tree, and see that its test fails.

python -m tests.campaigns.mutants
"""

from __future__ import annotations

import argparse
import importlib
import io
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from tests.campaigns.mutants.mutant import Mutant
from tests.campaigns.mutants.mutants import MUTANTS

ROOT = Path(__file__).parents[3]
_COPIED = ("billing", "templates", "tests", "pyproject.toml")
_TESTS = sorted({f"tests/{mutant.test.partition('::')[0]}" for mutant in MUTANTS})
# What the tests need and no mutant changes is imported once; every mutant is a fork with a tree of its own.
_SHARED = ("aiohttp.web", "alembic.command", "httpcore", "httpx", "sqlmodel", "typer")


def main(argv: list[str]) -> int:
    """Answers 1 if a mutant survives, 2 if the tool itself can't do its work."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only mutants whose name holds this")
    given = parser.parse_args(argv)
    chosen = [m for m in MUTANTS if not given.names or any(name in m.name for name in given.names)]
    if not chosen:
        parser.error("there is no such mutant")
    for module in _SHARED:
        importlib.import_module(module)
    began = time.monotonic()
    fork = multiprocessing.get_context("fork")
    with fork.Pool(os.cpu_count(), maxtasksperchild=1) as pool:
        if problem := pool.apply(_baseline):
            print(f"the tests must pass while every guard is in place:\n{problem}", file=sys.stderr)
            return 2
        results = pool.map(_try, chosen, chunksize=1)
    return _report(chosen, results, time.monotonic() - began)


def _report(chosen: list[Mutant], results: list[str], seconds: float) -> int:
    wide = max(len(mutant.name) for mutant in chosen)
    for mutant, result in zip(chosen, results, strict=True):
        print(f"{mutant.name:{wide}}  {result or 'caught'}  by {mutant.test.partition('::')[2]}")
    survivors = sum(bool(result) for result in results)
    print(f"{len(chosen)} mutants, {survivors} not caught, {seconds:.0f} s")
    return 1 if survivors else 0


def _baseline() -> str:
    """What pytest says if a guard's test fails in an unchanged copy; '' if all pass."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder)
        _copy(tree)
        code, said = _pytest(tree, *_TESTS)
    return "" if code == pytest.ExitCode.OK else said


def _try(mutant: Mutant) -> str:
    """'' if the mutant is caught, otherwise what is wrong."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder)
        _copy(tree)
        try:
            mutant.apply(tree)
        except ValueError as error:
            return f"NOT APPLIED: {error}"
        code, said = _pytest(tree, f"tests/{mutant.test}")
    if code == pytest.ExitCode.OK:
        return "SURVIVED"
    if code != pytest.ExitCode.TESTS_FAILED or "1 failed" not in said.splitlines()[-1]:
        return f"NOT RUN: {said}"
    return ""


def _copy(tree: Path) -> None:
    for name in _COPIED:
        source, target = ROOT / name, tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)


def _pytest(tree: Path, *tests: str) -> tuple[int, str]:
    """In a fork: run tests of the copy on the copy, without the suite's own set-up."""
    assert not any(name.partition(".")[0] == "billing" for name in sys.modules), "it would not be the copy's"
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    sys.path.insert(0, str(tree))
    sys.dont_write_bytecode = True
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    os.chdir(tree)
    options = ["-q", "-x", "--noconftest", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib"]
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = pytest.main([*options, f"--basetemp={tree / 'tmp'}", *tests])
    return code, said.getvalue()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
