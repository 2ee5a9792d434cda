"""The business's logo: three kinds of image, by what they are and not by their names."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from billing.config import load_config
from billing.config.logo import LARGEST, Logo, read_logo
from billing.errors import ConfigError

PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">II", 320, 80) + b"\x08\x06\0\0\0"
GIF = b"GIF89a" + struct.pack("<HH", 64, 32) + b"\0\0\0"
JPEG = (
    b"\xff\xd8\xff\xe0" + struct.pack(">H", 16) + b"JFIF\0" + bytes(9)
    + b"\xff\xff\xc2" + struct.pack(">HBHH", 17, 8, 50, 200) + bytes(9)
)  # fmt: skip


def written(folder: Path, data: bytes) -> Path:
    path = folder / "logo"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("data", "subtype", "size"), [(PNG, "png", (320, 80)), (GIF, "gif", (64, 32)), (JPEG, "jpeg", (200, 50))]
)
def test_an_image_is_known_by_its_content(
    tmp_path: Path, data: bytes, subtype: str, size: tuple[int, int]
) -> None:
    assert read_logo(written(tmp_path, data)) == Logo(subtype, data, *size)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<svg/>",
        PNG[:18],
        PNG[:16] + bytes(8) + PNG[24:],
        GIF[:7],
        JPEG[:4],
        b"\xff\xd8\xff",
        b"\xff\xd8\0\0",
        b"RIFF\0\0\0\0WEBP",
    ],
)
def test_what_mail_programs_do_not_show_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ValueError, match="is not a PNG, JPEG or GIF image; mail programs show no others"):
        read_logo(written(tmp_path, data))


def test_a_large_image_is_refused(tmp_path: Path) -> None:
    read_logo(written(tmp_path, PNG + bytes(LARGEST - len(PNG))))
    with pytest.raises(ValueError, match=r"larger than 200 kB, and goes out with every mail; shrink it"):
        read_logo(written(tmp_path, PNG + bytes(LARGEST)))


def test_the_path_is_relative_to_the_config_file(tmp_path: Path) -> None:
    written(tmp_path, PNG)
    (tmp_path / "config.toml").write_text('[business]\nlogo = "logo"\n')
    logo = load_config(tmp_path / "config.toml", {}).logo()
    assert logo is not None
    assert logo.width == 320
    assert load_config(None, {"BILLING_CONFIG": "/dev/null"}).logo() is None


def test_a_logo_that_is_missing_is_a_fault_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[business]\nlogo = "logo.png"\n[cycle]\nconcurrency = 0\n')
    with pytest.raises(ConfigError) as refused:
        load_config(tmp_path / "config.toml", {})
    first, second = refused.value.faults
    assert first.startswith("cycle.concurrency")
    assert second.startswith(f"business.logo: 'logo.png': {tmp_path}/logo.png can't be read: No such file")
