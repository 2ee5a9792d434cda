"""The named crash points, read from the source: a new one is struck without anybody listing it."""

from __future__ import annotations

import ast
from pathlib import Path

import billing.cycle
from billing.cycle.cycle import STEPS


def crash_points() -> tuple[str, ...]:
    """Every name that a cycle passes to `checkpoint`, sorted.

    Raises `ValueError` for a name that can't be read from the source.
    """
    found: set[str] = set()
    for path in sorted(Path(billing.cycle.__path__[0]).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "checkpoint":
                found |= _names(node.args[0], path)
    return tuple(sorted(found))


def _names(argument: ast.expr, path: Path) -> set[str]:
    written = ast.unparse(argument)
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        return {argument.value}
    if written == "f'{step.__name__}.done'":
        return {f"{step.__name__}.done" for step in STEPS}
    raise ValueError(f"{path.name}, line {argument.lineno}: {written} is no name that can be struck")
