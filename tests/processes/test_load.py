"""A crowd of slow clients and scrapers: every scrape is answered, and collection goes on.

How many turns collection loses by a crowd is measured by `python -m benchmarks load`.
"""

import asyncio

import pytest

from tests.support.configurations import account, write_configuration
from tests.support.crowd import Crowd, assert_tasks_are, collection, listed_tasks, press
from tests.support.http import ask_json
from tests.support.processes import Programs, eventually

pytestmark = pytest.mark.processes

SECONDS = 4.0
INTERVAL_SECONDS = 1.0
CONFIGURATION = (
    f"collection: {{interval: {INTERVAL_SECONDS:g}s, sweep_interval: 8s, stale_after: 60s}}\n"
    "metrics: {per_task: {enabled: true}}\n"
)


def test_a_crowd_of_slow_clients_costs_no_scrape_and_no_task(programs: Programs) -> None:
    """50 scrapers get 200 each time beside 200 slow clients; updates go on, none fails, and no task is lost."""
    _, simulator = programs.start_simulator("--apps=1", "--tasks=1000", "--churn=5")
    config = write_configuration(programs.directory, account(simulator, ["app-1"]), rest=CONFIGURATION)
    daemon, url = programs.start_daemon(config, "--log.level=info")

    def collects() -> None:
        assert collection(url).sweeps >= 1

    eventually(collects)
    before = collection(url)

    tally = asyncio.run(press(url, Crowd(), SECONDS))

    after = collection(url)
    assert tally.failed == []
    assert tally.scrapes > 50
    assert tally.bytes_dripped > 200
    assert after.failures == before.failures
    assert after.updates > before.updates
    ask_json(f"{simulator}/-/churn", method="POST", body={})
    listed = listed_tasks(simulator)
    eventually(lambda: assert_tasks_are(url, listed))
    assert "level=error" not in daemon.err
