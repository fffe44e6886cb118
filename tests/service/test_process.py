"""Tests of the heartbeat."""

import subprocess
import sys

import pytest

from exporter.service.process import Heartbeat
from tests.support.virtual_time import VirtualClock, on_virtual_time, run


@on_virtual_time
async def test_a_beat_on_time_has_no_lag() -> None:
    """A loop that comes back when asked to is not late, and was just heard of."""
    heartbeat = Heartbeat(VirtualClock())
    assert (await heartbeat.beat(1.0), heartbeat.silent_seconds) == (0.0, 0.0)


def test_a_late_beat_says_how_late() -> None:
    """The lag is what the timer was late by; one that fires early is not late."""

    async def scenario() -> float:
        return await Heartbeat(VirtualClock()).beat(1.0)

    assert round(run(scenario(), timer_error=lambda: 0.25), 6) == 0.25
    assert run(scenario(), timer_error=lambda: -0.25) == 0.0


def test_the_worst_lag_of_a_minute_is_kept() -> None:
    """A stall shows for a minute, so that no scrape misses it, and then no longer."""
    lags = iter([0.0, 0.5, 0.2, *[0.0] * 70])

    async def scenario() -> list[float]:
        heartbeat = Heartbeat(VirtualClock())
        return [round(await heartbeat.beat(1.0), 6) for _ in range(66)]

    assert run(scenario(), timer_error=lambda: next(lags)) == [0.0, *[0.5] * 60, 0.2, *[0.0] * 4]


@on_virtual_time
async def test_silence_grows_until_the_next_beat() -> None:
    """Between beats the silence is the time since the last one, counted from the start where there was none."""
    clock = VirtualClock()
    heartbeat = Heartbeat(clock)
    await clock.sleep(20)
    silences = [heartbeat.silent_seconds]
    await heartbeat.beat(1.0)
    silences.append(heartbeat.silent_seconds)
    await clock.sleep(3)
    assert [*silences, heartbeat.silent_seconds] == [20.0, 0.0, 3.0]


@pytest.mark.processes
def test_a_second_signal_ends_the_first_process_of_a_container() -> None:
    """The kernel drops signals of PID 1 that have no handler, so the second SIGTERM has one as well."""
    program = """
import asyncio, os, signal
from exporter.service.process import handled, run

async def main():
    stop = asyncio.Event()
    with handled(stop=stop.set, reload=lambda: None):
        signal.raise_signal(signal.SIGTERM)
        await stop.wait()
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(60)

os.getpid = lambda: 1
run(main())
"""
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 128 + 15


@pytest.mark.processes
def test_a_stuck_process_ends_with_a_traceback() -> None:
    """Even code that never gives up Python's lock is ended, and one that is fed goes on."""
    program = (
        "import re, time\n"
        "from exporter.service.process import Watchdog\n"
        "watchdog = Watchdog(1.5)\n"
        "for _ in range(20):\n"
        "    watchdog.feed()\n"
        "    time.sleep(0.1)\n"
        "print('fed', flush=True)\n"
        "re.match('(a+)+$', 'a' * 60 + 'b')\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=120, check=False, text=True)
    assert (ended.returncode, ended.stdout) == (1, "fed\n")
    assert "re/__init__.py" in ended.stderr


@pytest.mark.processes
def test_freed_memory_is_returned() -> None:
    """Large blocks go back to the system even if small ones that live on lie between them."""
    program = (
        "import os\nfrom pathlib import Path\nfrom exporter.service.process import run\n"
        "def mib(): return int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE') >> 20\n"
        "async def work():\n"
        "    freed = [bytes(8 << 20)]\n    del freed\n"
        "    before = mib()\n"
        "    large, small = [], []\n"
        "    for _ in range(100): large.append(b'x' * (1 << 20)); small.append(bytes(2000))\n"
        "    most = mib() - before\n    del large\n"
        "    print(most, mib() - before)\n"
        "run(work())\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    most, left = map(int, ended.stdout.split())
    assert most >= 100
    assert left < 10
