"""Tests of the monitor: what it reads, and what another configuration changes of that."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from exporter.config.model import AccessKey, App, Buckets, Config, Metrics, Quota
from exporter.core.secret import Secret
from exporter.rules.rule_set import RuleSet
from tests.support.monitored import (
    COLLECTION,
    AheadClock,
    Monitored,
    Simulated,
    app_ids,
    config,
    sample,
    simulated,
    until,
)

pytestmark = pytest.mark.usefixtures("no_process_before")

SLOW_SECONDS = 0.3
"""How long the simulator's fault `slow` holds an answer back."""


@pytest.fixture
async def slow(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Simulated]:
    """Serve apps of two pages, each after a while."""
    monkeypatch.setattr("exporter.simulator.faults.SLOW_SECONDS", SLOW_SECONDS)
    async with simulated(tasks=150, faults=["slow"]) as service:
        yield service


class Watched(Monitored):
    """A monitor and what it publishes."""

    def __init__(self) -> None:
        self.clock = AheadClock()
        super().__init__(self.clock)

    async def apply(self, config: Config) -> None:
        """Run a configuration without rules."""
        await self.monitor.apply(config, RuleSet.empty())

    def has_data(self, *apps: str) -> bool:
        """Whether exactly these apps have tasks that are published."""
        return app_ids(self.text, "rtcmpu_tasks") == set(apps)


@asynccontextmanager
async def watching() -> AsyncIterator[Watched]:
    """Run a monitor without a configuration."""
    watched = Watched()
    watched.monitor.start()
    try:
        yield watched
    finally:
        await watched.monitor.close()


async def test_an_account_that_is_removed_takes_its_series(simulator: Simulated) -> None:
    """Nothing is left of a removed account, not even the counters of its requests."""
    async with watching() as watched:
        staying, leaving = simulator.account("app-1", name="staying"), simulator.account("app-1", name="leaving")
        await watched.apply(config(staying, leaving))
        await until(lambda: (sample(watched.text, "rtcmpu_up", account="leaving") or 0) == 1)
        assert 'rtcmpu_exporter_api_requests_total{account="leaving"' in watched.text

        await watched.apply(config(staying))

        assert "leaving" not in watched.text
        assert sample(watched.text, "rtcmpu_exporter_rate_limit_requests_per_second", account="staying") == 40


async def test_a_turn_that_runs_on_cannot_bring_a_removed_app_back(slow: Simulated) -> None:
    """An app that is removed in the middle of a sweep stays removed when the sweep ends, well or not."""
    async with watching() as watched:
        await watched.apply(slow.config("app-1", "app-2"))
        await until(lambda: slow.service.statistics.by_app["app-2"] > 0)

        await watched.apply(slow.config("app-1"))
        await asyncio.sleep(SLOW_SECONDS + 0.2)

        assert 'app_id="app-2"' not in watched.text


async def test_an_account_that_moves_in_the_middle_of_a_sweep_is_read_again(
    slow: Simulated, simulator: Simulated, caplog: pytest.LogCaptureFixture
) -> None:
    """At another endpoint an account's apps start again; the sweep under way harms nothing and is not reported."""
    async with watching() as watched:
        await watched.apply(slow.config("app-1"))
        await until(lambda: slow.service.statistics.by_app["app-1"] > 0)
        before = watched.monitor.apps["production", "app-1"]

        with caplog.at_level(logging.ERROR):
            await watched.apply(config(simulator.account("app-1")))
            assert watched.monitor.apps["production", "app-1"] is not before
            await until(lambda: watched.has_data("app-1"))
            await asyncio.sleep(SLOW_SECONDS + 0.2)

        assert sample(watched.text, "rtcmpu_up", app_id="app-1") == 1
        assert caplog.messages == []


async def test_other_settings_of_an_account_hold_from_the_next_request_on_and_cut_nothing_off(
    slow: Simulated,
) -> None:
    """A sweep that is under way ends well although another key signs its later requests, with another budget."""
    async with watching() as watched:
        await watched.apply(slow.config("app-1"))
        await until(lambda: slow.service.statistics.by_app["app-1"] > 0)
        before = watched.monitor.apps["production", "app-1"]
        access = watched.monitor.accesses["production"]
        client = access.requests.client

        slow.service.faults.clear()
        revoked = AccessKey(access_key_id="another", access_key_secret=Secret("key"))
        await watched.apply(config(slow.account("app-1", requests_per_second=20, credentials=revoked)))
        await watched.apply(config(slow.account("app-1", requests_per_second=20)))

        assert watched.monitor.apps["production", "app-1"] is before
        assert access.requests.client is not client
        await until(lambda: watched.has_data("app-1"))
        assert sample(watched.text, "rtcmpu_exporter_rate_limit_requests_per_second") == 20
        outcomes = before.collector.status.attempts
        assert all(outcome == "ok" for _, outcome in outcomes), outcomes
        await until(lambda: not access._retired)


async def test_other_buckets_are_counted_from_the_tasks_that_are_known(simulator: Simulated) -> None:
    """With other bounds the distributions change at once, without a gap and without a request."""
    async with watching() as watched:
        await watched.apply(simulator.config("app-1"))
        await until(lambda: watched.has_data("app-1"))
        account = simulator.account("app-1")

        buckets = Buckets(panes=(3, 7))
        await watched.apply(Config(accounts=(account,), collection=COLLECTION, metrics=Metrics(buckets=buckets)))

        assert watched.has_data("app-1")
        await until(lambda: "rtcmpu_task_panes_bucket" in watched.text and 'le="7.0"' in watched.text)
        assert 'le="25.0"' not in "".join(
            line for line in watched.text.splitlines() if line.startswith("rtcmpu_task_panes_bucket")
        )


async def test_an_app_whose_settings_change_is_published_with_them(simulator: Simulated) -> None:
    """Another name, owner or quota takes effect with the next configuration."""
    async with watching() as watched:
        await watched.apply(simulator.config("app-1"))
        assert sample(watched.text, "rtcmpu_task_quota", app_id="app-1", mix_mode="mixed") is None

        await watched.apply(simulator.config(App(id="app-1", owner="live-ops", quota=Quota(single=200))))

        assert sample(watched.text, "rtcmpu_task_quota", app_id="app-1", mix_mode="single") == 200
        assert sample(watched.text, "rtcmpu_task_quota", app_id="app-1", mix_mode="mixed") is None
        assert sample(watched.text, "rtcmpu_app_info", app_id="app-1", owner="live-ops") == 1


async def test_known_numbers_of_tasks_replace_the_quotas_in_the_budget(simulator: Simulated) -> None:
    """Once an app was swept, its real number of pages decides how far the intervals are stretched."""
    async with watching() as watched:
        account = simulator.account(App(id="app-1", quota=Quota(single=100_000)), requests_per_second=10)
        await watched.apply(config(account, collection=COLLECTION))
        ratio = sample(watched.text, "rtcmpu_collection_interval_stretch_ratio", app_id="app-1")
        assert ratio is not None
        assert ratio > 100

        await until(lambda: watched.has_data("app-1"))
        watched.monitor.look_at_budget()

        assert sample(watched.text, "rtcmpu_collection_interval_stretch_ratio", app_id="app-1") == 1


async def test_a_configuration_with_a_bad_ca_file_changes_nothing(simulator: Simulated, tmp_path: Path) -> None:
    """A CA file that can't be used refuses the whole configuration: apps, budgets and series stay as they were."""
    bad = tmp_path / "ca.pem"
    bad.write_text("no certificate")
    async with watching() as watched:
        good = simulator.config("app-1")
        await watched.apply(good)
        await until(lambda: watched.has_data("app-1"))
        apps = dict(watched.monitor.apps)

        with pytest.raises(ValueError, match=r"ca\.pem: expected certificates as PEM"):
            await watched.apply(
                config(
                    simulator.account("app-1", requests_per_second=5),
                    simulator.account("app-2", name="new", limit_group="other"),
                    simulator.account("app-3", name="bad", ca_file=bad),
                )
            )

        assert dict(watched.monitor.apps) == apps
        watched.monitor.look_at_budget()
        assert sample(watched.text, "rtcmpu_exporter_rate_limit_requests_per_second") == 40
        assert 'account="new"' not in watched.text
        assert 'account="bad"' not in watched.text


async def test_another_configuration_is_there_all_at_once(simulator: Simulated) -> None:
    """Anyone who looks while it is taken on sees the apps before or those after it, never some of either."""
    async with watching() as watched:
        await watched.apply(simulator.config("app-1", "app-2"))
        await until(lambda: watched.has_data("app-1", "app-2"))
        seen: set[tuple[str, ...]] = set()

        async def look() -> None:
            while True:
                seen.add(tuple(app_id for _, app_id in watched.monitor.apps))
                await asyncio.sleep(0)

        looking = asyncio.create_task(look())
        moved = simulator.account("app-3", "app-2", name="other")
        for one in (config(moved), simulator.config("app-3", "app-1"), config(moved)):
            for app in watched.monitor.apps.values():
                app.swept()  # what is let go has something to end, which takes a while
            await asyncio.sleep(0)
            await watched.apply(one)
            await watched.monitor.close_removed()
        looking.cancel()
    assert seen == {("app-1", "app-2"), ("app-3", "app-2"), ("app-3", "app-1")}
