"""SpamAssassin's score of every mail, by its local rules alone."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable

from tests.campaigns.look.mails import Mail

HIGHEST = 0.2
MISSING = "SpamAssassin is missing. Install it, for example with: apt-get install -y spamassassin"
_STATUS = re.compile(
    r"^X-Spam-Status: \w+, score=(-?[\d.]+) .*?tests=(.*?)\s(?:autolearn|shortcircuit|version)=", re.S | re.M
)


def is_installed() -> bool:
    return shutil.which("spamassassin") is not None


def score(mail: Mail) -> tuple[float, str]:
    """The points of one mail, and the rules that gave them."""
    command = ["spamassassin", "--local", "--test-mode"]
    judged = subprocess.run(command, input=mail.message, capture_output=True, check=True, timeout=120)
    found = _STATUS.search(judged.stdout.decode("utf-8", "replace").replace("\r\n", "\n"))
    if not found:
        raise RuntimeError(f"spamassassin gave no score for {mail.name}: {judged.stderr.decode()[-500:]}")
    return float(found[1]), re.sub(r"\s+", "", found[2])


def scores(mails: Iterable[Mail]) -> list[str]:
    """Prints each score; returns those that are too high."""
    faults = []
    for mail in mails:
        points, rules = score(mail)
        print(f"{points:5.1f}  {mail.kind:24} {mail.language}  {rules}", flush=True)
        if points > HIGHEST:
            faults.append(
                f"{mail.name}: SpamAssassin gives it {points} points, at most {HIGHEST} are good ({rules})"
            )
    return faults
