"""The business's logo: a small image file that is attached to every mail."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

LARGEST = 200_000
"""Bytes; an attachment travels with every mail, a third larger than it is."""


@dataclass(frozen=True, slots=True)
class Logo:
    """An image and its size in pixels; `subtype` is that of its MIME type."""

    subtype: str
    data: bytes
    width: int
    height: int


def read_logo(path: Path) -> Logo:
    """Read an image file. Raises ValueError that says what is wrong with it and what to do."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise ValueError(
            f"{path} can't be read: {error.strerror}; the path is relative to the config file"
        ) from None
    if len(data) > LARGEST:
        raise ValueError(
            f"{path} is larger than {LARGEST // 1000} kB, and goes out with every mail; shrink it"
        )
    try:
        found = _png(data) or _gif(data) or _jpeg(data)
    except (struct.error, IndexError):  # it ends within its header
        found = None
    if found is None or 0 in found[1:]:
        raise ValueError(f"{path} is not a PNG, JPEG or GIF image; mail programs show no others")
    return Logo(found[0], data, *found[1:])


def _png(data: bytes) -> tuple[str, int, int] | None:
    if not data.startswith(b"\x89PNG\r\n\x1a\n") or data[12:16] != b"IHDR":
        return None
    width, height = struct.unpack(">II", data[16:24])
    return "png", width, height


def _gif(data: bytes) -> tuple[str, int, int] | None:
    if not data.startswith((b"GIF87a", b"GIF89a")):
        return None
    width, height = struct.unpack("<HH", data[6:10])
    return "gif", width, height


def _jpeg(data: bytes) -> tuple[str, int, int] | None:
    """The size stands in the frame header, behind segments of any number and length."""
    if not data.startswith(b"\xff\xd8"):
        return None
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return "jpeg", width, height
        (length,) = struct.unpack(">H", data[at + 2 : at + 4])
        at += 2 + length
    return None
