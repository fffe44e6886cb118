"""What a scrape takes: ours by numbers of tasks and with 100,000 series, beside the usual ways to serve as many.

Every server runs in a process of its own; one client scrapes them in turn, with gzip, and only reads bytes. Ours is
the web application of the daemon on a real socket, over an exposition that is filled without an account.
"""

import asyncio
import shutil
import socket
import tempfile
import urllib.request
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from msgspec.structs import replace
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from benchmarks.fleet import pages, tasks_of
from benchmarks.processes import server
from benchmarks.report import median_seconds, milliseconds, show, times
from benchmarks.scraping import Scrapes, scrape
from exporter.config.model import Buckets
from exporter.core.clock import SystemClock
from exporter.metrics.aggregates import Aggregates, AppReport
from exporter.metrics.exposition import Body, Exposition, Format, families
from exporter.metrics.family import Family, Label
from exporter.metrics.self_metrics import SelfMetrics
from exporter.service.process import run
from exporter.web import http_server
from exporter.web.application import application
from tests.metrics.builders import STATUS
from tests.support.processes import Programs, eventually, free_port
from tests.web.fake_view import FakeView

SERIES = 100_000
TASK_COUNTS = (1_000, 10_000, 100_000)
OUR_SCRAPES = 500
THEIR_SCRAPES = 5
START_SECONDS = 60.0
AIM_RATIO = 500
AIM_P99_SECONDS = 0.003

ODD_FACTOR = 0x9E3779B97F4A7C15  # makes numbers look like ids, which compress badly

NAME = "bench_task_info"
LABELS = ("account", "app_id", "task_id", "task_region", "mix_mode")

Labelled = tuple[str, ...]


def main() -> None:
    """Print both tables."""
    by_tasks = []
    for tasks in TASK_COUNTS:
        with server(serve_tasks, tasks) as address:
            by_tasks.append((f"{tasks:,} tasks in one app", scrape(address, times=OUR_SCRAPES)))
            healthy = scrape(address.removesuffix("/metrics") + "/-/healthy", times=OUR_SCRAPES)
    show(
        f"A scrape of our /metrics over HTTP, gzip, keep-alive, {OUR_SCRAPES} times",
        ("", "p50", "p99", "sent"),
        [*(_figures(*row) for row in by_tasks), _figures("for comparison: /-/healthy", healthy)],
        note="/-/healthy is an answer of one word from the same server.",
    )
    with server(serve_series, SERIES) as address:
        ours = scrape(address, times=OUR_SCRAPES)
    registry = _registry()
    latest = median_seconds(lambda: generate_latest(registry), runs=3)
    rows = [(*_figures(who, scrapes), times(scrapes.median / ours.median)) for who, scrapes in _others()]
    show(
        f"{SERIES:,} series over HTTP, gzip, keep-alive",
        ("server", "p50", "p99", "sent", "ours takes less by"),
        [
            (*_figures("ours", ours), ""),
            *rows,
            ("generate_latest alone, without HTTP and gzip", milliseconds(latest), "", "", times(latest / ours.median)),
        ],
        note=(
            f"Aim: less by {AIM_RATIO} than pushgateway and node_exporter, p99 within {milliseconds(AIM_P99_SECONDS)}. "
            f"Others are scraped {THEIR_SCRAPES} times: their p99 is their slowest."
        ),
    )


def series(count: int) -> Iterator[tuple[Labelled, float]]:
    """Yield samples as a gauge with an identity for each task has them."""
    for number in range(count):
        region = ("CN-Shanghai", "AP-Singapore")[number % 2]
        task_id = number * ODD_FACTOR % 2**64
        yield ("production", f"live-{number // 20_000}", f"{task_id:016x}", region, "mixed"), 1


def serve_tasks(tasks: int, address: "Connection[str, str]") -> None:
    """Serve the metrics of an app with some tasks."""
    configurations = [task.configuration for task in tasks_of(pages(1000))]
    aggregates = Aggregates(Buckets())
    for number in range(tasks):
        aggregates.add(configurations[number % len(configurations)])
    exposition = Exposition(families(), SelfMetrics())
    exposition.update(("bench",), AppReport(replace(STATUS, app_id="bench"), aggregates))
    _serve(exposition, address)


def serve_series(count: int, address: "Connection[str, str]") -> None:
    """Serve one family with many series."""
    family = Family[int](
        name=NAME,
        kind="gauge",
        help="One series for each task.",
        labels=tuple(map(Label, LABELS)),
        samples=series,
    )
    exposition = Exposition([family], SelfMetrics())
    exposition.update(("bench",), count)
    _serve(exposition, address)


class _ServedExposition(FakeView):
    """Answers the web application from an exposition, as the daemon does."""

    def __init__(self, exposition: Exposition[AppReport] | Exposition[int]) -> None:
        super().__init__()
        self._exposition = exposition

    def metrics(self, exposition_format: Format, *, gzip: bool) -> Body:
        """Return the ready bytes."""
        return self._exposition.body(exposition_format, gzip=gzip)


def _serve(exposition: Exposition[AppReport] | Exposition[int], address: "Connection[str, str]") -> None:
    """Publish, and serve until the process is ended."""
    exposition.publish()

    async def listen() -> None:
        app = application(_ServedExposition(exposition), SystemClock())
        running = await http_server.start(app, [socket.create_server(("127.0.0.1", 0))])
        address.send(f"http://{running.addresses[0]}/metrics")
        await asyncio.Event().wait()

    run(listen())


def _others() -> Iterator[tuple[str, Scrapes]]:
    """Yield what the same series take from others, those that are installed."""
    text = generate_latest(_registry())
    with tempfile.TemporaryDirectory() as directory, Programs(Path(directory)) as programs:
        (Path(directory) / "bench.prom").write_bytes(text)
        if (gateway := shutil.which("prometheus-pushgateway")) is not None:
            url = _started(programs, gateway)
            push = urllib.request.Request(f"{url}/metrics/job/bench", data=text, method="PUT")  # noqa: S310 - loopback
            urllib.request.urlopen(push, timeout=START_SECONDS).close()  # noqa: S310 - loopback
            yield "pushgateway", scrape(f"{url}/metrics", times=THEIR_SCRAPES)
        if (node_exporter := shutil.which("prometheus-node-exporter")) is not None:
            collected = ("disable-defaults", "textfile", f"textfile.directory={directory}")
            url = _started(programs, node_exporter, *(f"--collector.{setting}" for setting in collected))
            yield "node_exporter, textfile", scrape(f"{url}/metrics", times=THEIR_SCRAPES)


def _started(programs: Programs, command: str, *words: str) -> str:
    """Start a server; return its address when it accepts connections."""
    port = free_port()
    programs.start(command, f"--web.listen-address=127.0.0.1:{port}", *words)
    eventually(lambda: socket.create_connection(("127.0.0.1", port)).close(), within_seconds=START_SECONDS)
    return f"http://127.0.0.1:{port}"


def _registry() -> CollectorRegistry:
    """Return the same series in prometheus_client."""
    registry = CollectorRegistry()
    gauge = Gauge(NAME, "One series for each task.", LABELS, registry=registry)
    for labels, value in series(SERIES):
        gauge.labels(*labels).set(value)
    return registry


def _figures(who: str, scrapes: Scrapes) -> tuple[str, str, str, str]:
    """Return the columns about one server."""
    sent = f"{scrapes.body_bytes / 1000:,.0f} kB {scrapes.encoding or 'plain'}"
    return who, milliseconds(scrapes.median), milliseconds(scrapes.p99), sent
