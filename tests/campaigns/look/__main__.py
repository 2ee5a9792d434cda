"""`make mail-look`: pictures of every mail, and what validators, axe-core and SpamAssassin say.

Everything lands in var/look: `sheets/` has contact sheets, `shots/` the single pictures, `pages/` the mails.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from billing.core.states import NoticeKind
from billing.mail.i18n import LANGUAGES
from billing.mail.samples import ORDINARY
from tests.campaigns.look import spam
from tests.campaigns.look.browser import DESKTOP, PHONE, Viewer, chromium, chromium_path
from tests.campaigns.look.mails import BRANDED, Mail, every_mail
from tests.campaigns.look.sheets import sheet
from tests.campaigns.look.word import as_word

_FOLDER = Path(__file__).parents[3] / "var" / "look"
_TOOLS = Path(sys.prefix) / "node_modules"
_PARTS = ("shots", "valid", "axe", "spam", "docs")
# Mail programs need these: Word reads attributes, not styles, and has properties of its own.
_NEEDED = re.compile(
    r"The “(?:cellspacing|cellpadding|border|width|height|align|valign|bgcolor)” attribute "
    r"on the “(?:table|td|th)” element is obsolete"
    r"|Property “mso-[a-z-]+” doesn't exist"
)
_WINDOWS = (
    ("phone-light", PHONE, False),
    ("phone-dark", PHONE, True),
    ("desktop-light", DESKTOP, False),
    ("desktop-dark", DESKTOP, True),
)
# The pictures of docs/mail: what they show, in how many columns, the most of each, how large.
_PICTURES: dict[str, tuple[tuple[str, ...], int, int, float]] = {
    "kinds": (tuple(f"{kind}.en.{ORDINARY}.desktop-light" for kind in NoticeKind), 4, 1450, 0.38),
    "tones": (
        tuple(
            f"payment_overdue.en.{case}.phone-light"
            for case in ("the-first", ORDINARY, "the-last", "the-last-of-several")
        ),
        4,
        1240,
        0.64,
    ),
    "phone": (
        (
            f"payment_created.en.{ORDINARY}.phone-dark",
            f"payment_received.de.{ORDINARY}.phone-dark",
            f"subscription_paused.fr.{ORDINARY}.phone-light",
            f"subscription_cancelled.es.{ORDINARY}.phone-light",
            f"next_payment_due.pt.{ORDINARY}.phone-light",
        ),
        5,
        1240,
        0.56,
    ),
    "edges": (
        (
            "payment_created.en.long-names.phone-light",
            "payment_created.en.arabic.phone-light",
            "payment_overdue.de.largest-amount.phone-light",
            f"payment_created.en.{BRANDED.replace(' ', '-')}.phone-light",
            "payment_overdue.en.several-are-open.word",
        ),
        5,
        1240,
        0.52,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.campaigns.look", description=__doc__)
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"{', '.join(_PARTS)}; without any, all but the last"
    )
    parser.add_argument("--language", choices=LANGUAGES, help="this language alone")
    parser.add_argument("--kind", choices=[kind.value for kind in NoticeKind], help="this kind alone")
    arguments = parser.parse_args()
    parts = arguments.parts or _PARTS[:-1]
    if unknown := set(parts) - set(_PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    if missing := list(_missing(parts)):
        sys.exit("\n".join(missing))
    mails = [
        mail
        for mail in every_mail()
        if arguments.language in (None, mail.language) and arguments.kind in (None, mail.kind)
    ]
    faults: list[str] = []
    for part in parts:
        faults += {"shots": _shots, "valid": _valid, "axe": _axe, "spam": _spam, "docs": _docs}[part](mails)
    for fault in dict.fromkeys(faults):
        print(fault)
    print(f"{len(mails)} mails, {', '.join(parts)}: {len(faults) or 'no'} faults. See {_FOLDER}")
    sys.exit(bool(faults))


def _missing(parts: Sequence[str]) -> list[str]:
    told = []
    if {"shots", "axe"} & set(parts) and not chromium_path():
        told.append("Chromium is missing. Install it, for example with: apt-get install -y chromium")
    if "valid" in parts and not shutil.which("java"):
        told.append(
            "Java is missing (for the HTML validator). For example: apt-get install -y default-jre-headless"
        )
    if "spam" in parts and not spam.is_installed():
        told.append(spam.MISSING)
    return told


def _shots(mails: Sequence[Mail]) -> list[str]:
    """Every ordinary mail in every window; every other case once on a phone and once, dark, on a desktop."""
    faults = []
    shots = _FOLDER / "shots"
    shots.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        for window, width, dark in _WINDOWS:
            viewer = Viewer(browser, width, dark=dark)
            for mail in mails:
                if mail.case == ORDINARY or (mail.language in ("en", "de") and dark == (width == DESKTOP)):
                    viewer.show(mail.page)
                    if (over := viewer.overflow()) > 0:
                        faults.append(f"{mail.name}: {over} pixels too wide for {window}")
                    viewer.shoot(shots / f"{mail.name}.{window}.png")
            viewer.close()
        viewer = Viewer(browser, DESKTOP)
        for mail in mails:
            if mail.language in ("en", "de") or mail.case == ORDINARY:
                viewer.show(as_word(mail.page))
                viewer.shoot(shots / f"{mail.name}.word.png")
        viewer.close()
    _sheets(mails, shots)
    return faults


def _sheets(mails: Sequence[Mail], shots: Path) -> None:
    sheets = _FOLDER / "sheets"
    windows = [*(window for window, _, _ in _WINDOWS), "word"]
    views: dict[str, list[Mail]] = {}
    for mail in mails:
        views.setdefault(
            mail.language if mail.case == ORDINARY else f"{mail.kind}.{mail.language}", []
        ).append(mail)
    for view, shown in views.items():
        for window in windows:
            pictures = [path for mail in shown if (path := shots / f"{mail.name}.{window}.png").exists()]
            if pictures:
                sheet(pictures, sheets / f"{view}.{window}.png", 4 if "phone" in window else 3)


def _valid(mails: Sequence[Mail]) -> list[str]:
    """What the Nu HTML checker says."""
    pages = _FOLDER / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    pages.mkdir(parents=True)
    for mail in mails:
        (pages / f"{mail.name}.html").write_text(mail.page, "utf-8")
    jar = _TOOLS / "vnu-jar" / "build" / "dist" / "vnu.jar"
    command = ["java", "-Xss4m", "-jar", str(jar), "--format", "json", "--exit-zero-always", str(pages)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    messages = json.loads(said.stderr or said.stdout)["messages"]
    found: dict[str, list[str]] = {}
    for message in messages:
        if _NEEDED.search(message["message"]):
            continue
        found.setdefault(f"{message['type']}: {message['message']}", []).append(Path(message["url"]).name)
    return [f"{told} ({places[0]}, and {len(places) - 1} more)" for told, places in found.items()]


def _axe(mails: Sequence[Mail]) -> list[str]:
    """What axe-core says, in light and in dark mode."""
    source = (_TOOLS / "axe-core" / "axe.min.js").read_text("utf-8")
    found: dict[str, list[str]] = {}
    with chromium() as browser:
        for dark in (False, True):
            viewer = Viewer(browser, DESKTOP, dark=dark)
            for mail in mails:
                viewer.show(mail.page)
                for told in viewer.axe(source):
                    found.setdefault(told, []).append(f"{mail.name}, {'dark' if dark else 'light'}")
            viewer.close()
    return [f"axe: {told} ({places[0]}, and {len(places) - 1} more)" for told, places in found.items()]


def _docs(_mails: Sequence[Mail]) -> list[str]:
    """The pictures of docs/mail, from what `shots` drew before."""
    shots, docs = _FOLDER / "shots", _FOLDER.parents[1] / "docs" / "mail"
    for name, (pictures, columns, cut, scale) in _PICTURES.items():
        sheet([shots / f"{picture}.png" for picture in pictures], docs / f"{name}.png", columns, cut, scale)
    return []


def _spam(mails: Sequence[Mail]) -> list[str]:
    return spam.scores(mail for mail in mails if mail.case == ORDINARY)


if __name__ == "__main__":
    main()
