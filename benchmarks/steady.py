"""CPU of accounts that are read at their whole budget, 50 pages a second each, over TLS from a distant service.

The service, in a process of its own, is about 90 ms away and answers with gzip; rows are known, as they are in every
sweep but the first. What is counted is the whole of the exporter's work for it: limiter, signing, TLS, HTTP,
reading, the inventory's accounts, aggregates and the exposition, in all threads.
"""

import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import trustme
from msgspec import Struct

from benchmarks.accounts import account_at
from benchmarks.processes import Simulated, in_own_process, simulator
from benchmarks.report import milliseconds, show
from exporter import __version__
from exporter.collector.collector import Collector
from exporter.config.model import Config
from exporter.core import log
from exporter.core.clock import SystemClock
from exporter.metrics.exposition import Exposition, families
from exporter.metrics.self_metrics import SelfMetrics
from exporter.rules.rule_set import rule_set
from exporter.service.monitor import Monitor
from exporter.service.process import run

FLEETS = (
    Simulated(accounts=1, apps=6, tasks=3000, requests_per_second=100_000, one_way_seconds=0.04, jitter_seconds=0.01),
    Simulated(accounts=10, apps=3, tasks=1500, requests_per_second=100_000, one_way_seconds=0.04, jitter_seconds=0.01),
)
SECONDS = 30.0
PUBLISH_SECONDS = 0.02
AIM_PAGE_SECONDS = 0.0017  # with ten accounts


class Usage(Struct, frozen=True):
    """What reading took."""

    wall_seconds: float
    cpu_seconds: float
    pages: int


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as directory:
        certificate, ca_file = _certificates(Path(directory))
        usages = []
        for fleet in FLEETS:
            with simulator(msgspec.structs.replace(fleet, certificate=certificate)) as url:
                usages.append(in_own_process(read_steadily, url, ca_file, fleet))
    show(
        f"Accounts at their whole budget over TLS, known rows, {SECONDS:.0f} s",
        ("accounts", "pages a second", "CPU, of one core", "CPU of a page"),
        [
            (
                fleet.accounts,
                f"{usage.pages / usage.wall_seconds:.1f}",
                f"{usage.cpu_seconds / usage.wall_seconds:.1%}",
                milliseconds(usage.cpu_seconds / usage.pages),
            )
            for fleet, usage in zip(FLEETS, usages, strict=True)
        ],
        note=f"Aim: {milliseconds(AIM_PAGE_SECONDS)} a page with ten accounts.",
    )


def read_steadily(url: str, ca_file: Path, fleet: Simulated) -> Usage:
    """Sweep all apps again and again, after a first sweep that is not counted."""
    log.configure("error", "logfmt", sys.stderr, lambda _level: None)
    return run(_read_steadily(url, ca_file, fleet))


async def _read_steadily(url: str, ca_file: Path, fleet: Simulated) -> Usage:
    metrics = SelfMetrics(version=__version__)
    exposition = Exposition(families(), metrics)
    monitor = Monitor(
        exposition,
        metrics,
        clock=SystemClock(),
        rng=random.Random(),  # noqa: S311 - pauses, not secrets
    )
    accounts = range(1, fleet.accounts + 1)
    config = Config(
        accounts=tuple(account_at(url, fleet.app_ids(number), number=number, ca_file=ca_file) for number in accounts)
    )
    await monitor.apply(config, rule_set(config))
    collectors = [app.collector for app in monitor.apps.values()]
    pages = 0

    async def sweep_until(collector: Collector, end: float) -> None:
        nonlocal pages
        while time.monotonic() < end:
            await collector.sweep()
            sweep = collector.status.sweep
            if not collector.status.up or sweep is None:
                raise RuntimeError(f"a sweep failed: {collector.status.reason}")
            pages += sweep.requests

    await asyncio.gather(*(collector.sweep() for collector in collectors))
    began, cpu = time.monotonic(), time.process_time()
    sweeps = asyncio.gather(*(sweep_until(collector, began + SECONDS) for collector in collectors))
    while not sweeps.done():
        await exposition.publish_off_loop()
        await asyncio.sleep(PUBLISH_SECONDS)
    await sweeps
    usage = Usage(time.monotonic() - began, time.process_time() - cpu, pages)
    await monitor.close()
    return usage


def _certificates(directory: Path) -> tuple[Path, Path]:
    """Return the service's key and certificate, and the authority that signed it."""
    authority = trustme.CA()
    certificate, ca_file = directory / "service.pem", directory / "ca.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    authority.cert_pem.write_to_path(ca_file)
    return certificate, ca_file
