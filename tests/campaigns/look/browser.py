"""Chromium without a window: pictures of the pages, and what axe-core finds in them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

PHONE, DESKTOP = 375, 700
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# A mail has no landmarks of a website, and stands in a page that has them.
_AXE = """async () => (await axe.run(document, {
  resultTypes: ["violations", "incomplete"],
  rules: {region: {enabled: false}, "landmark-one-main": {enabled: false}},
})).violations.map(v => `${v.id}: ${v.help} (${v.nodes.length}): ${v.nodes[0].html.slice(0, 160)}`)"""
_OVERFLOW = "() => document.documentElement.scrollWidth - window.innerWidth"


def chromium_path() -> str | None:
    """The installed browser: $CHROMIUM, or the first of the usual names."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path(), args=["--no-sandbox", "--disable-lcd-text", "--hide-scrollbars"]
        )
        try:
            yield browser
        finally:
            browser.close()


class Viewer:
    """A window of one width and one colour scheme. Nothing is fetched: a mail that wants to is told."""

    def __init__(self, browser: Browser, width: int, *, dark: bool = False, scale: float = 1) -> None:
        self._context = browser.new_context(
            viewport={"width": width, "height": 600},
            color_scheme="dark" if dark else "light",
            device_scale_factor=scale,
            offline=True,
        )
        self.page: Page = self._context.new_page()

    def show(self, html: str) -> None:
        self.page.set_content(html)

    def shoot(self, path: Path) -> None:
        self.page.screenshot(path=path, full_page=True)

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(self.page.evaluate(_OVERFLOW))

    def axe(self, source: str) -> list[str]:
        self.page.evaluate(source)
        return list(self.page.evaluate(_AXE))

    def close(self) -> None:
        self._context.close()
