"""Draws the first screens of the dashboards with Grafana's own components: `make dashboards`.

    python -m tests.support.dashboard_pictures DIRECTORY [--cases]

Four pictures show the demonstration. With `--cases` more show two exporters, a failing app, other targets in the same
Prometheus, withdrawn data, exporters that are down, and 50 apps.
"""

import argparse
import base64
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import yaml
from playwright.sync_api import Browser, Route

from exporter.simulator.simulation import ACCOUNTS
from tests.support.browser import chromium
from tests.support.configurations import read_yaml
from tests.support.http import ask_json
from tests.support.processes import ROOT, Programs
from tests.support.prometheus import Prometheus, start_prometheus
from tests.support.promql import Dashboard, Query, dashboards

PAGE: Final = ROOT / "tests" / "grafana" / "pictures" / "build" / "page.js"
ASSETS: Final = PAGE.parent.parent / "node_modules" / "@grafana" / "ui" / "dist" / "public"
WIDTH: Final = 1700
LARGEST: Final = 200_000  # bytes: the READMEs show them
QUALITY: Final = 0.9
SCRAPE_SECONDS: Final = 2  # on a busy machine a scrape may take more than one, and a gap would be drawn
LIVELY_SECONDS: Final = 100
WITHDRAWN_SECONDS: Final = 40
DOWN_SECONDS: Final = 20
POINTS: Final = 200
HASTE: Final = re.compile(r"^( +)(for|keep_firing_for): \d+[mh]$", re.MULTILINE)
ONE_APP: Final = {"account": "production", "app_id": "live-main"}
FLEET: Final = """\
accounts:
{accounts}
collection: {{interval: 2s, sweep_interval: 10s, stale_after: 30s}}
metrics: {{per_task: {{enabled: true}}}}
storage: {{url: "sqlite:{name}.db"}}
"""
ACCOUNT: Final = """\
- name: {account.name}
  endpoint: {service}
  requests_per_second: 20
  credentials: {{access_key_id: {account.access_key_id}, access_key_secret: {account.access_key_secret}}}
  apps: [{apps}]
"""


def main() -> None:
    """Draw the pictures into a directory."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.dashboard_pictures")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--cases", action="store_true", help="draw difficult situations too")
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        for scene in (_demonstration, *((_difficulties, _fifty_apps) if arguments.cases else ())):
            with tempfile.TemporaryDirectory() as directory, Programs(Path(directory)) as programs:
                for name, prometheus in scene(programs):
                    _draw(browser, prometheus, arguments.directory, name)


def _demonstration(programs: Programs) -> Iterator[tuple[str, Prometheus]]:
    demo = programs.start_exporter("demo", "--web.listen-address=127.0.0.1:0", "--simulator.listen-address=127.0.0.1:0")
    target = demo.wait_for(r"^status page +http://([^/]+)/$")[1]
    prometheus = start_prometheus(programs, target, rules=_rules(), seconds=SCRAPE_SECONDS)
    time.sleep(LIVELY_SECONDS)
    yield "", prometheus


def _difficulties(programs: Programs) -> Iterator[tuple[str, Prometheus]]:
    """Two exporters with an app that the service does not know; then what happens when one thing after another ends."""
    fleet = programs.start_exporter("simulate", "--demo", "--listen-address=127.0.0.1:0")
    service = fleet.wait_for(r"^simulator +(http://\S+)$")[1]
    accounts = ""
    for account in ACCOUNTS:
        apps = [f"{{id: {app.id}, name: {app.name!r}, owner: {app.owner!r}}}" for app in account.apps]
        if not accounts:
            apps.append("{id: unknown-app, owner: live-ops}")
        accounts += ACCOUNT.format(account=account, service=service, apps=", ".join(apps))
    replicas = []
    for name in ("one", "two"):
        path = programs.directory / f"{name}.yml"
        path.write_text(FLEET.format(accounts=accounts, name=name))
        replicas.append(programs.start_daemon(path))
    targets = [url.removeprefix("http://") for _, url in replicas]
    prometheus = start_prometheus(
        programs, *targets, rules=_rules(), has_tasks=True, scrapes_itself=True, seconds=SCRAPE_SECONDS
    )
    time.sleep(LIVELY_SECONDS)
    yield "two-replicas-failing-app-", prometheus
    fleet.end()
    time.sleep(WITHDRAWN_SECONDS)
    yield "withdrawn-", prometheus
    for (replica, _), name in zip(replicas, ("replica-down-", "exporter-down-"), strict=True):
        replica.end()
        time.sleep(DOWN_SECONDS)
        yield name, prometheus


def _fifty_apps(programs: Programs) -> Iterator[tuple[str, Prometheus]]:
    _, service = programs.start_simulator("--apps=50", "--tasks=60", "--churn=5")
    account = (
        f"- name: everything\n  endpoint: {service}\n  requests_per_second: 45\n"
        "  credentials: {access_key_id: simulator-key-id, access_key_secret: simulator-key-secret}\n"
        f"  apps: [{', '.join(f'{{id: app-{number}, quota: {{single: 80, mixed: 40}}}}' for number in range(1, 51))}]\n"
    )
    path = programs.directory / "fifty.yml"
    path.write_text(FLEET.format(accounts=account, name="fifty"))
    _, url = programs.start_daemon(path)
    prometheus = start_prometheus(programs, url.removeprefix("http://"), seconds=SCRAPE_SECONDS)
    time.sleep(LIVELY_SECONDS)
    yield "fifty-apps-", prometheus


def _rules() -> str:
    """Return the recording and alerting rules with short times to wait."""
    files = [ROOT / "deploy" / "prometheus" / f"rtcmpu.{kind}.yml" for kind in ("rules", "alerts")]
    texts = [HASTE.sub(r"\1\2: 5s", path.read_text(encoding="utf-8")) for path in files]
    return yaml.safe_dump({"groups": [group for text in texts for group in read_yaml(text)["groups"]]})


def _draw(browser: Browser, prometheus: Prometheus, directory: Path, prefix: str) -> None:
    """Draw the first screen of each dashboard as it is now, on light and dark in turn."""
    now = time.time()
    for place, (uid, dashboard) in enumerate(sorted(dashboards().items())):
        chosen = ONE_APP if uid == "rtcmpu-app" and "fifty" not in prefix else {}
        picture = {
            "dashboard": dashboard,
            "answers": {
                panel["id"]: [_answer(prometheus, target, chosen, now) for target in panel["targets"]]
                for panel in dashboard["panels"]
                if "targets" in panel
            },
            "from": now - LIVELY_SECONDS,
            "to": now,
            "mode": "dark" if place % 2 else "light",
        }
        path = directory / f"{prefix}{uid.removeprefix('rtcmpu-')}-dashboard.webp"
        _photograph(browser, picture, path)
        sys.stdout.write(f"{path}: {path.stat().st_size // 1000} kB\n")


def _answer(prometheus: Prometheus, target: Mapping[str, Any], chosen: Mapping[str, str], now: float) -> dict[str, Any]:
    is_range = bool(target.get("range"))
    query = Query("", "", target["expr"], is_range).asked(
        {"__rate_interval": f"{4 * SCRAPE_SECONDS}s", "__range": f"{LIVELY_SECONDS}s", **chosen}
    )
    times = {"start": now - LIVELY_SECONDS, "end": now, "step": LIVELY_SECONDS / POINTS} if is_range else {"time": now}
    path = "query_range" if is_range else "query"
    answer = ask_json(f"{prometheus.url}/api/v1/{path}?{urlencode({'query': query} | times)}")
    return {"target": dict(target), "result": answer["data"]["result"]}


def _photograph(browser: Browser, picture: Mapping[str, Any], path: Path) -> None:
    dashboard: Dashboard = picture["dashboard"]
    lowest = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    window = browser.new_context(viewport={"width": WIDTH, "height": 44 + 38 * lowest})
    try:
        page = window.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.route("**/*", _serve)
        page.goto("http://localhost/")
        page.add_style_tag(path=PAGE.with_name("page.css"))
        page.add_style_tag(path=PAGE.parent.with_name("page.css"))
        page.evaluate("picture => { window.picture = picture; }", dict(picture))
        page.add_script_tag(path=PAGE, type="module")
        page.wait_for_selector(".panel")
        page.wait_for_timeout(1500)
        assert errors == [], f"{path.name}: {errors}"
        shown = {panel["title"]: panel for panel in dashboard["panels"] if panel["type"] not in {"row", "text"}}
        assert set(page.locator(".panel").evaluate_all("panels => panels.map(p => p.dataset.title)")) == set(shown)
        if not path.name.partition("-dashboard")[0].count("-"):
            assert page.locator(".nothing").all_inner_texts() == [], (
                f"{path.name}: panels of the demonstration are empty"
            )
        path.write_bytes(_webp(window.new_page(), page.screenshot()))
        assert path.stat().st_size <= LARGEST, f"{path.name} is too large"
    finally:
        window.close()


def _serve(route: Route) -> None:
    """Answer the page and the icons; nothing is asked of a network."""
    path = urlsplit(route.request.url).path
    icon = ASSETS / path.removeprefix("/public/build/")
    if path == "/":
        route.fulfill(body='<!doctype html><body><div id="root"></div></body>', content_type="text/html")
    elif path.endswith(".svg") and icon.is_file():
        route.fulfill(path=icon, content_type="image/svg+xml")
    else:
        route.fulfill(status=404)


def _webp(page: Any, png: bytes) -> bytes:
    """Return a picture in the format that takes least, as the browser writes it."""
    url = page.evaluate(
        """async ([png, quality]) => {
            const image = new Image();
            image.src = 'data:image/png;base64,' + png;
            await image.decode();
            const canvas = Object.assign(document.createElement('canvas'), {width: image.width, height: image.height});
            canvas.getContext('2d').drawImage(image, 0, 0);
            return canvas.toDataURL('image/webp', quality);
        }""",
        [base64.b64encode(png).decode(), QUALITY],
    )
    return base64.b64decode(url.partition(",")[2])


if __name__ == "__main__":
    main()
