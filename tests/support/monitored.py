"""A service in this process, configurations that read it, and what is published about it."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from exporter.config.model import AccessKey, Account, App, Collection, Config
from exporter.core.clock import Clock, SystemClock
from exporter.core.secret import Secret
from exporter.metrics.aggregates import AppReport
from exporter.metrics.exposition import Exposition, Format, families
from exporter.metrics.self_metrics import SelfMetrics
from exporter.service.monitor import Monitor
from exporter.simulator import simulated_server as server
from exporter.simulator.service import Service
from exporter.simulator.simulation import ACCESS_KEY_ID, ACCESS_KEY_SECRET, SimulatorOptions, build_service

KEY = AccessKey(access_key_id=ACCESS_KEY_ID, access_key_secret=Secret(ACCESS_KEY_SECRET))
COLLECTION = Collection(interval_seconds=0.2, sweep_interval_seconds=1.0, stale_after_seconds=60.0)


class AheadClock(SystemClock):
    """The machine's clock, which a test can put ahead."""

    def __init__(self) -> None:
        self.ahead_seconds = 0.0

    def now(self) -> float:
        return super().now() + self.ahead_seconds

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_seconds


class Monitored:
    """A monitor without a configuration, and what it publishes."""

    def __init__(self, clock: Clock | None = None, **more: Any) -> None:
        metrics = SelfMetrics(version="0")
        self.exposition: Exposition[AppReport] = Exposition(families(), metrics)
        rng = random.Random(1)  # noqa: S311 - no secret
        self.monitor = Monitor(self.exposition, metrics, clock=clock or SystemClock(), rng=rng, **more)

    @property
    def text(self) -> str:
        """The exposition as it is now."""
        self.exposition.publish()
        self.exposition.publish_own()
        return b"".join(self.exposition.body(Format.TEXT, gzip=False).chunks).decode()


class Simulated(NamedTuple):
    """A service that listens, and its inside."""

    url: str
    service: Service

    def account(self, *apps: App | str, name: str = "production", **changes: Any) -> Account:
        """Return an account that reads apps of this service."""
        return Account(
            name=name,
            endpoint=self.url,
            apps=tuple(App(id=app) if isinstance(app, str) else app for app in apps),
            **{"credentials": KEY, **changes},
        )

    def config(self, *apps: App | str) -> Config:
        return config(self.account(*apps))


@asynccontextmanager
async def simulated(
    *, apps: int = 3, tasks: int = 10, faults: Sequence[str] = (), longest_hang_seconds: float = 60.0
) -> AsyncIterator[Simulated]:
    """Serve apps `app-1` … that are at rest, without latency."""
    options = SimulatorOptions(
        apps=apps, tasks=tasks, churn=0, faults=tuple(faults), latency_seconds=0, jitter_seconds=0
    )
    service = build_service(options)
    running = await server.start(service, longest_hang_seconds=longest_hang_seconds)
    try:
        yield Simulated(running.url, service)
    finally:
        await running.close()


def config(*accounts: Account, collection: Collection = COLLECTION) -> Config:
    """Return a configuration of these accounts, read often."""
    return Config(accounts=accounts, collection=collection)


def sample(text: str, name: str, **labels: str) -> float | None:
    """Return the one sample that has these labels among others; None where there is none."""
    found = []
    for line in text.splitlines():
        match = re.fullmatch(rf"{re.escape(name)}(?:\{{(.*)\}})? (\S+)", line)
        if match and all(f'{label}="{value}"' in (match[1] or "") for label, value in labels.items()):
            found.append(float(match[2]))
    assert len(found) <= 1, f"{name}{labels}: {len(found)} samples"
    return found[0] if found else None


def app_ids(text: str, name: str) -> set[str]:
    """Return the apps about which a family has a sample."""
    return set(re.findall(rf'^{name}\{{account="[^"]*",app_id="([^"]*)"', text, re.MULTILINE))


async def until(condition: Callable[[], Any], *, within_seconds: float = 60.0) -> Any:
    """Return what a condition returns or awaits, once that is true and no AssertionError is raised any more."""
    last: AssertionError | None = None
    try:
        async with asyncio.timeout(within_seconds):
            while True:
                try:
                    found = condition()
                    if found := await found if isinstance(found, Awaitable) else found:
                        return found
                except AssertionError as error:
                    last = error
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {within_seconds:g} s: {condition}") from last
