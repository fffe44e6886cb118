"""Makes the screenshots of `docs/images` again, of the demonstration: `python -m tests.support.screenshots`."""

import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page

from tests.support.browser import WIDE, chromium, opened
from tests.support.processes import ROOT, Programs

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
