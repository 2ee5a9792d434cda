"""The program's own renderer: every kind of notice, each letter to somebody else."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.contestants.ours import config_for
from benchmarks.measure import measured, spec
from billing.core.notices import NoticeFacts
from billing.core.states import NoticeKind
from billing.mail.i18n import LANGUAGES
from billing.mail.render import Renderer
from billing.mail.samples import SAMPLE_NOW, sample_letter


def main(count: int) -> None:
    """So many notices of each kind; `more` holds the CPU seconds of each kind, in English."""
    with tempfile.TemporaryDirectory() as folder:
        renderer = Renderer(config_for(Path(folder)).settings)
    ours = [letter for kind in NoticeKind for letter in _letters(kind, LANGUAGES, 1)]
    for letter in ours:  # templates are read and compiled once a language
        renderer.render(letter, SAMPLE_NOW)
    kinds = {kind: _letters(kind, ("en",), count) for kind in NoticeKind}
    mixed = [letter for kind in NoticeKind for letter in _letters(kind, LANGUAGES, count // len(NoticeKind))]
    with measured(count) as figures:
        for kind, letters in kinds.items():
            figures.more[kind.value] = _cpu_seconds(renderer, letters) / len(letters)
        figures.more["every kind in every language"] = _cpu_seconds(renderer, mixed) / len(mixed)


def _letters(kind: NoticeKind, languages: tuple[str, ...], count: int) -> list[NoticeFacts]:
    return [
        replace(
            sample_letter(kind, language),
            dedupe_key=f"{kind}.customer-{number}.{language}",
            to_name=f"Amina Okafor {number}" if kind is not NoticeKind.RUN_DIGEST else "",
            to_address=f"amina.okafor.{number}@example.org",
            reference=f"customer-{number}",
            thread=f"customer-{number}/2026-12-06",
        )
        for language in languages
        for number in range(count)
    ]


def _cpu_seconds(renderer: Renderer, letters: list[NoticeFacts]) -> float:
    began = time.process_time()
    for letter in letters:
        renderer.render(letter, SAMPLE_NOW)
    return time.process_time() - began


if __name__ == "__main__":
    main(**spec())
