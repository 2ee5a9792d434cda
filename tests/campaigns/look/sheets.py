"""Contact sheets: many pictures on one, small enough to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

_GAP = 16
_GROUND = (207, 212, 221)


def sheet(
    pictures: Sequence[Path], target: Path, columns: int, cut: int | None = None, scale: float = 1
) -> None:
    """The pictures in rows, each row as high as its highest; `cut` is the most that is shown of one."""
    images = [Image.open(path).convert("RGB") for path in pictures]
    if cut:
        images = [image.crop((0, 0, image.width, min(cut, image.height))) for image in images]
    rows = [images[i : i + columns] for i in range(0, len(images), columns)]
    width = max(sum(image.width + _GAP for image in row) for row in rows) + _GAP
    heights = [max(image.height for image in row) for row in rows]
    whole = Image.new("RGB", (width, sum(heights) + _GAP * (len(rows) + 1)), _GROUND)
    top = _GAP
    for row, height in zip(rows, heights, strict=True):
        left = _GAP
        for image in row:
            whole.paste(image, (left, top))
            left += image.width + _GAP
        top += height + _GAP
    if scale != 1:
        whole = whole.resize(
            (round(whole.width * scale), round(whole.height * scale)), Image.Resampling.LANCZOS
        )
    save(whole, target)


def save(image: Image.Image, target: Path) -> None:
    """As a PNG of at most 160 colours that keep the few tints there are."""
    target.parent.mkdir(parents=True, exist_ok=True)
    image.quantize(160, kmeans=2, dither=Image.Dither.NONE).save(target, optimize=True)
