"""An edit that takes a guard away, made in a copy of the tree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """`name` says which guard is gone; `edits` are (file, old text, new text)."""

    name: str
    test: str
    edits: tuple[tuple[str, str, str], ...]

    def apply(self, tree: Path) -> None:
        """Make the edits in a copy of the tree. Raises `ValueError` if one does not fit exactly once."""
        for file, old, new in self.edits:
            path = tree / file
            source = path.read_text(encoding="utf-8")
            if source.count(old) != 1:
                raise ValueError(
                    f"{self.name}: its text stands {source.count(old)} times in {file}; "
                    f"write the edit anew:\n{old}"
                )
            path.write_text(source.replace(old, new), encoding="utf-8")


def one(name: str, test: str, file: str, old: str, new: str) -> Mutant:
    """A guard that a single edit takes away."""
    return Mutant(name, test, ((file, old, new),))
