"""The daemon against small answers that are large once they are decompressed."""

import re
import time
from pathlib import Path

import pytest
from aiohttp import web

from tests.processes.odd_service import Answer, Odd, OddService, true_page
from tests.support.configurations import account, write_configuration
from tests.support.hostile import MAKERS, compressed_body
from tests.support.http import ask
from tests.support.processes import Programs, eventually

pytestmark = pytest.mark.processes

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


def _value(url: str, pattern: str) -> float:
    """Return the sum of the samples whose names and labels match."""
    return sum(map(float, re.findall(rf"^{pattern} (\S+)$", ask(f"{url}/metrics").text, re.MULTILINE)))


def test_large_answers_cost_little_and_nobody_else(programs: Programs) -> None:
    """While every other app of its account answers so, memory stays bounded and a neighbour is read on time."""
    answers = {name: _sends(compressed_body(name)) for name in MAKERS}
    apps = {name: Odd(name, answer, answer) for name, answer in answers.items()}
    apps[NEIGHBOUR] = Odd(NEIGHBOUR, true_page)
    with OddService(apps) as service:
        entry = account(service.address, list(apps), more="requests_per_second: 50")
        daemon, url = programs.start_daemon(write_configuration(programs.directory, entry, rest=REST))

        def all_read() -> None:
            assert _value(url, r"rtcmpu_up\{.*\}") == len(apps)

        eventually(all_read)
        before_mib = _highest_mib(daemon.pid)
        service.turn_odd()
        updates = rf'rtcmpu_collection_attempts_total\{{.*app_id="{NEIGHBOUR}",kind="update",outcome="ok"\}}'
        read_before = _value(url, updates)
        for _ in range(10):
            time.sleep(1)
            assert ask(f"{url}/-/healthy").status == 200

        def neighbour_is_read() -> None:
            assert _value(url, updates) >= read_before + 5
            assert _value(url, rf'rtcmpu_tasks\{{.*app_id="{NEIGHBOUR}".*\}}') == 60
            assert _value(url, rf'rtcmpu_up\{{.*app_id="{NEIGHBOUR}"\}}') == 1
            assert _value(url, r'rtcmpu_collection_state\{.*state="(?:invalid_response|ok|partial)"\}') == len(apps)

        eventually(neighbour_is_read, within_seconds=20)
        assert _highest_mib(daemon.pid) - before_mib < MOST_GROWTH_MIB
        assert "Traceback" not in daemon.err
