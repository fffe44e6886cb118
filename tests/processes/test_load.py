"""A crowd of slow clients, and small answers that are large once decompressed: every scrape is answered.

How many turns collection loses by a crowd is measured by `python -m benchmarks load`.
"""

import asyncio
import re
from pathlib import Path

import pytest
from aiohttp import web

from tests.processes.odd_service import Answer, Odd, OddService, true_page
from tests.support.configurations import account, write_configuration
from tests.support.crowd import Crowd, Tally, assert_tasks_are, collection, listed_tasks, press
from tests.support.hostile import MAKERS, compressed_body
from tests.support.http import ask, ask_json
from tests.support.processes import LONG_SECONDS, Programs, eventually

pytestmark = pytest.mark.processes

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

    crowd = Crowd()
    least_scrapes, least_bytes = 3 * crowd.scrapers, 10 * (crowd.half_open + crowd.slow_readers)

    def is_enough(tally: Tally) -> bool:
        return tally.scrapes >= least_scrapes and tally.bytes_dripped >= least_bytes

    tally = asyncio.run(press(url, crowd, LONG_SECONDS, is_enough=is_enough))

    after = collection(url)
    assert tally.failed == []
    assert is_enough(tally), tally
    assert after.failures == before.failures
    assert after.updates > before.updates
    ask_json(f"{simulator}/-/churn", method="POST", body={})
    listed = listed_tasks(simulator)
    eventually(lambda: assert_tasks_are(url, listed))
    assert "level=error" not in daemon.err


NEIGHBOUR = "neighbour"
MOST_GROWTH_MIB = 300  # one such app alone takes some 35, and how many of 19 do at one moment depends on the machine
REST = "collection: {interval: 500ms, sweep_interval: 1s, stale_after: 10m}\npolicy: {default_rules: false}\n"


def _sends(body: bytes) -> Answer:
    """Return what always sends a compressed body."""
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    return lambda _: web.Response(body=body, headers=headers)


def _highest_mib(pid: int) -> float:
    """Return the most memory that a process has had so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 1024  # type: ignore[index]


def _value(text: str, pattern: str) -> float:
    """Return the sum of the samples whose names and labels match."""
    return sum(map(float, re.findall(rf"^{pattern} (\S+)$", text, re.MULTILINE)))


def test_large_answers_cost_little_and_nobody_else(programs: Programs) -> None:
    """While every other app of its account answers so, memory stays bounded and a neighbour is read on time."""
    answers = {name: _sends(compressed_body(name)) for name in MAKERS}
    apps = {name: Odd(name, answer, answer) for name, answer in answers.items()}
    apps[NEIGHBOUR] = Odd(NEIGHBOUR, true_page)
    with OddService(apps) as service:
        entry = account(service.address, list(apps), more="requests_per_second: 50")
        daemon, url = programs.start_daemon(write_configuration(programs.directory, entry, rest=REST))

        def all_read() -> None:
            assert _value(ask(f"{url}/metrics").text, r"rtcmpu_up\{.*\}") == len(apps)

        eventually(all_read)
        before_mib = _highest_mib(daemon.pid)
        service.turn_odd()
        updates = rf'rtcmpu_collection_attempts_total\{{.*app_id="{NEIGHBOUR}",kind="update",outcome="ok"\}}'
        attempts = [rf'rtcmpu_collection_attempts_total\{{.*app_id="{name}".*\}}' for name in answers]
        before = ask(f"{url}/metrics").text
        healthy = set[int]()

        def neighbour_is_read() -> None:
            healthy.add(ask(f"{url}/-/healthy").status)
            text = ask(f"{url}/metrics").text
            assert _value(text, updates) >= _value(before, updates) + 5
            assert all(_value(text, tried) >= _value(before, tried) + 2 for tried in attempts)
            assert _value(text, rf'rtcmpu_tasks\{{.*app_id="{NEIGHBOUR}".*\}}') == 60
            assert _value(text, rf'rtcmpu_up\{{.*app_id="{NEIGHBOUR}"\}}') == 1
            assert _value(text, r'rtcmpu_collection_state\{.*state="(?:invalid_response|ok|partial)"\}') == len(apps)

        eventually(neighbour_is_read)
        assert healthy == {200}
        assert _highest_mib(daemon.pid) - before_mib < MOST_GROWTH_MIB
        assert "Traceback" not in daemon.err
