"""What the dashboards' first screens cost a real Prometheus with 300 apps: the samples that they read, and their time.

It scrapes an exporter for some minutes. What queries look back on for a day (`[1d]`) was there a day before.
"""

import json
import re
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import urlencode

import yaml

from benchmarks.report import milliseconds, show
from grafana.dashboards.overview import SCOPE
from grafana.parts.queries import RAW, attention, of_severity, recorded_attention
from tests.support.configurations import account, write_configuration
from tests.support.http import ask
from tests.support.processes import ROOT, Programs
from tests.support.prometheus import Prometheus, start_prometheus
from tests.support.promql import Query, all_queries, dashboards

APPS = 300
TASKS = 20
MINUTES = 2.0
SCRAPE_SECONDS = 15
POLL_SECONDS = 5
DAY = range(86_400 // SCRAPE_SECONDS, 0, -1)
STEPS = 60  # of a graph: as many as the 15 minutes have that a dashboard shows at first
DEAREST = 12
LIVE = re.compile(r"^rtcmpu_collection_data_available{.* 1(?:\.0)?$", re.MULTILINE)
BACK_A_DAY = re.compile(r"last_over_time\((\w+){[^}]*}\[1d\]")
WARNING = of_severity("warning")
COMPARED = {  # the last: what the variable `raw` lets in
    "the worst of each app, recorded": (recorded_attention(SCOPE), True, ""),
    "the same, raw": (attention(SCOPE), True, ""),
    "the same, recorded `or` raw": (recorded_attention(SCOPE), True, ".+"),
    "warnings, recorded": (f"sum(app_severity:rtcmpu_policy_violations:sum{{{WARNING}}})", False, ""),
    "warnings, raw": (SCOPE.total("rtcmpu_policy_violations", WARNING), False, ""),
}


def main() -> None:
    """Print the tables."""
    with tempfile.TemporaryDirectory() as directory, Programs(Path(directory)) as programs:
        prometheus = _scraped(programs)
        costs = sorted(((_cost(prometheus, query), query) for query in _first_screens()), reverse=True)
        compared = {
            what: _cost(prometheus, Query("", "", expression, is_range), raw)
            for what, (expression, is_range, raw) in COMPARED.items()
        }
    columns = ("samples read", "in memory at most", "time")
    show(
        f"the {DEAREST} dearest of {len(costs)} queries of first screens, {APPS} apps, graphs of {STEPS} steps",
        ("query", *columns),
        [(f"{query.dashboard}: {query.place}", *_figures(*cost)) for cost, query in costs[:DEAREST]],
    )
    show("recorded and raw", ("query", *columns), [(what, *_figures(*cost)) for what, cost in compared.items()])


def _first_screens() -> list[Query]:
    """Return the queries of everyone who opens a dashboard: those of rows come with a click."""
    shown = {(uid, panel["id"]) for uid, dashboard in dashboards().items() for panel in dashboard["panels"]}
    return [query for query in all_queries() if query.panel_id is None or (query.dashboard, query.panel_id) in shown]


def _scraped(programs: Programs) -> Prometheus:
    """Return a Prometheus that has scraped an exporter of many apps for some minutes."""
    _, service = programs.start_simulator(f"--apps={APPS}", f"--tasks={TASKS}", "--churn=5")
    apps = [f"app-{number}, quota: {{single: 80, mixed: 40}}" for number in range(1, APPS + 1)]
    everything = account(service, apps, more="requests_per_second: 45")
    _, url = programs.start_daemon(write_configuration(programs.directory, everything, rest=""))

    while len(LIVE.findall(text := ask(f"{url}/metrics", seconds=60).text)) < APPS:
        time.sleep(POLL_SECONDS)
    target = url.removeprefix("http://")
    _write_day(programs.directory, target, text)
    files = [ROOT / "deploy" / "prometheus" / f"rtcmpu.{kind}.yml" for kind in ("rules", "alerts")]
    groups = [group for path in files for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]]
    rules = yaml.safe_dump({"groups": groups})
    prometheus = start_prometheus(programs, target, rules=rules, seconds=SCRAPE_SECONDS)
    time.sleep(60 * MINUTES)
    return prometheus


def _write_day(directory: Path, target: str, published: str) -> None:
    """Write a day of the series that queries look back on that far, before the Prometheus starts."""
    named = {name for query in all_queries() for name in BACK_A_DAY.findall(query.expression)}
    lines = [line.rsplit(" ", 1) for line in published.splitlines() if line.partition("{")[0] in named]
    of_target = f'{{job="rtcmpu",instance="{target}",'
    now = time.time() - SCRAPE_SECONDS
    path = directory / "day.txt"
    with path.open("w") as file:
        for name, value in lines:
            series = name.replace("{", of_target, 1)
            file.writelines(f"{series} {value} {now - SCRAPE_SECONDS * ago:.0f}\n" for ago in DAY)
        file.write("# EOF\n")
    command = ("promtool", "tsdb", "create-blocks-from", "openmetrics", str(path), str(directory / "prometheus"))
    subprocess.run(command, check=True, capture_output=True)


def _cost(prometheus: Prometheus, query: Query, raw: str = "") -> tuple[int, int, float]:
    """Return the samples that a query reads, the most in memory, and its seconds."""
    now = time.time()
    values = {"__rate_interval": "1m", "__range": f"{MINUTES:.0f}m", RAW: raw}
    if query.dashboard == "rtcmpu-app":
        values["app_id"] = "app-1"
    asked = {"query": query.asked(values), "stats": "all"}
    steps = {"start": now - 60 * MINUTES, "end": now, "step": 60 * MINUTES / STEPS} if query.is_range else {}
    url = f"{prometheus.url}/api/v1/{'query_range' if query.is_range else 'query'}?{urlencode(asked | steps)}"
    stats = json.loads(ask(url, seconds=300).body)["data"]["stats"]
    return stats["samples"]["totalQueryableSamples"], stats["samples"]["peakSamples"], stats["timings"]["evalTotalTime"]


def _figures(samples: int, peak: int, seconds: float) -> tuple[str, str, str]:
    return f"{samples:,}", f"{peak:,}", milliseconds(seconds)
