"""A real Chromium that talks to this machine alone, and what it complains about.

`python -m tests.support.browser` makes the screenshots of `docs/images` again, of the demonstration.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.processes import ROOT, Programs, needed_tool

_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
WIDE, NARROW = (1440, 900), (390, 844)
_REMOVE_WHAT_IS_ALIKE = """() => document.querySelectorAll(
    "tbody > tr:nth-of-type(n + 11), article:nth-of-type(n + 11)"
).forEach(one => one.remove())"""
"""Axe takes seconds for a page of 50 rows or rules, all of which are made by one template."""


class Opened(NamedTuple):
    """A page of the exporter in the browser."""

    page: Page
    base: str
    complaints: list[str]  # errors of scripts, of the content security policy and of loading, and requests to elsewhere

    def go(self, path: str) -> Page:
        self.page.goto(self.base + path)
        return self.page

    def barriers(self) -> list[str]:
        """Return what axe finds wrong with the page, without later rows and rules: one line for each kind."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE_SCRIPT)
            self.page.evaluate(_REMOVE_WHAT_IS_ALIKE)
        found = self.page.evaluate("axe.run({resultTypes: ['violations']}).then(results => results.violations)")
        return [f"{one['id']}: {one['nodes'][0]['html']} ({one['nodes'][0]['failureSummary']})" for one in found]

    @contextmanager
    def in_the_dark_on_a_phone(self) -> Iterator[None]:
        """Show the page narrow and in dark colors; after that wide and light."""
        self._look("dark", NARROW)
        try:
            yield
        finally:
            self._look("light", WIDE)

    def _look(self, scheme: Literal["light", "dark"], size: tuple[int, int]) -> None:
        self.page.emulate_media(color_scheme=scheme)
        self.page.set_viewport_size({"width": size[0], "height": size[1]})

    def rows(self, table: str = "table") -> list[str]:
        return self.page.locator(f"{table} tbody tr > th:first-child").all_inner_texts()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the browser."""
    path: Path = needed_tool("chromium")
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, base: str, *, size: tuple[int, int] = WIDE, **context: Any) -> Iterator[Opened]:
    """Open a window of its own for the exporter at `base`.

    Args:
        browser: In which.
        base: Its address without path.
        size: Of the window, in pixels.
        context: As Playwright's `new_context` takes it.
    """
    width, height = size
    window = browser.new_context(viewport={"width": width, "height": height}, **context)
    try:
        page = window.new_page()
        complaints: list[str] = []

        def complain(is_wrong: bool, what: str) -> None:
            if is_wrong:
                complaints.append(what)

        page.on("console", lambda said: complain(said.type in {"error", "warning"}, said.text))
        page.on("pageerror", lambda error: complain(True, str(error)))
        page.on("request", lambda asked: complain(not asked.url.startswith(f"{base}/"), f"asked {asked.url}"))
        yield Opened(page, base, complaints)
    finally:
        window.close()


IMAGES = ROOT / "docs" / "images"
SETTLING_SECONDS = 20  # so that the demonstration has swept more than once, and something has changed
APP = "/apps/production/live-main"


def main() -> None:
    """Start the demonstration and look at each page."""
    with tempfile.TemporaryDirectory() as directory, Programs(Path(directory)) as programs:
        demo = programs.start_exporter(
            "demo", "--web.listen-address=127.0.0.1:0", "--simulator.listen-address=127.0.0.1:0"
        )
        base = demo.wait_for(r"^status page +(http://[^/]+)/$")[1]
        time.sleep(SETTLING_SECONDS)
        with chromium() as browser, opened(browser, base, size=WIDE, device_scale_factor=1) as shown:
            for name, path in (("status", "/"), ("app", APP), ("violations", "/violations"), ("rules", "/rules")):
                _keep(shown.go(path), name)
            page = shown.go(f"{APP}?rule=panes-overlapping")
            page.locator(".tasks tbody th a").first.click()
            page.wait_for_load_state()
            _keep(page, "task")


def _keep(page: Page, name: str) -> None:
    page.screenshot(path=IMAGES / f"{name}-page.png")


if __name__ == "__main__":
    main()
