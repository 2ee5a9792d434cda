"""What only shows help or a version loads nothing heavy: a shell's completion asks for it at each Tab."""

from __future__ import annotations

import subprocess
import sys

import pytest

_HEAVY = ("sqlalchemy", "sqlmodel", "httpx", "jinja2", "aiosmtplib", "apscheduler")
_SCRIPT = f"""
import sys
from billing.cli.main import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    assert end.code in (0, 2), end.code
print(*(name for name in {_HEAVY} if name in sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["payments", "release", "--help"], ["notices", "nonsense"]]
)
def test_help_loads_none_of_the_large_packages(arguments: list[str]) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _SCRIPT, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stderr.splitlines()[-1] == ""
