"""Memory of a real `serve` process by how many tasks it knows, and what its scrapes take meanwhile.

The tasks are spread over two accounts, each with one app and a budget of its own, so that the first sweep is sooner
over. The service runs in a process of its own.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from benchmarks.processes import Simulated, simulator
from benchmarks.report import milliseconds, show
from benchmarks.scraping import Scrapes, scrape

ACCOUNTS = 2
TASK_COUNTS = (100, 100_000, 200_000)
SWEEPS = 2
LONGEST_SECONDS = 150.0
SCRAPES = 200
AIM_MIB_AT_100_000 = 120
AIM_BYTES_OF_A_TASK = 512
MIB = 1024 * 1024


class Footprint(Struct, frozen=True):
    """What one process took."""

    tasks: int
    resident_bytes: int  # after the last of `SWEEPS` sweeps
    peak_bytes: int
    first_sweeps_seconds: float  # until every app was read
    scrapes: Scrapes


def main() -> None:
    """Print the table."""
    footprints = [footprint(tasks) for tasks in TASK_COUNTS]
    least, *_ = footprints
    show(
        "A serve process, all sweeps over",
        ("tasks", "resident", "peak", "a task", "first sweep", "scrape p50", "p99"),
        [
            (
                f"{taken.tasks:,}",
                f"{taken.resident_bytes / MIB:.0f} MiB",
                f"{taken.peak_bytes / MIB:.0f} MiB",
                f"{(taken.resident_bytes - least.resident_bytes) / (taken.tasks - least.tasks):.0f} B"
                if taken is not least
                else "",
                f"{taken.first_sweeps_seconds:.0f} s",
                milliseconds(taken.scrapes.median),
                milliseconds(taken.scrapes.p99),
            )
            for taken in footprints
        ],
        note=(
            f"Aim: {AIM_MIB_AT_100_000} MiB at 100,000 tasks, and {AIM_BYTES_OF_A_TASK} B for each further one. "
            "'a task': what is more than with the fewest, divided."
        ),
    )


def footprint(tasks: int) -> Footprint:
    """Run `serve` on some tasks until it has swept all of them `SWEEPS` times."""
    fleet = Simulated(accounts=ACCOUNTS, tasks=tasks // ACCOUNTS, requests_per_second=100_000)
    with simulator(fleet) as url, tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "rtcmpu.yml"
        config.write_text(_config(url, fleet))
        began = time.monotonic()
        with _served(config) as (process, address):
            _wait_for_sweeps(address, 1)
            first_sweeps_seconds = time.monotonic() - began
            scrapes = scrape(address, times=SCRAPES, pause_seconds=0.005)
            _wait_for_sweeps(address, SWEEPS)
            resident, peak = _memory(process.pid)
    return Footprint(tasks, resident, peak, first_sweeps_seconds, scrapes)


def _config(url: str, fleet: Simulated) -> str:
    """Return a configuration that reads all of a fleet."""
    accounts = "".join(
        f"""
  - name: account-{number}
    endpoint: {url}
    requests_per_second: 50
    credentials: {{access_key_id: key-{number}, access_key_secret: secret}}
    apps: [{{id: {fleet.app_ids(number)[0]}}}]"""
        for number in range(1, fleet.accounts + 1)
    )
    return f"accounts:{accounts}\ncollection: {{interval: 10s, sweep_interval: 15s}}\n"


@contextmanager
def _served(config: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Run `serve`; yields the process and the address of its metrics."""
    command = [
        sys.executable,
        "-m",
        "exporter",
        "serve",
        f"--config.file={config}",
        "--web.listen-address=127.0.0.1:0",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "NO_PROXY": "127.0.0.1"})
    try:
        yield process, f"http://{_listening(process)}/metrics"
    finally:
        process.terminate()
        process.communicate()


def _listening(process: "subprocess.Popen[str]") -> str:
    """Return where a process says that it listens."""
    if process.stderr is None:
        raise ValueError("expected a process whose standard error is read")
    said = []
    for line in process.stderr:
        said.append(line)
        if found := re.search(r"127\.0\.0\.1:\d+", line if "listening" in line else ""):
            return found[0]
    raise RuntimeError("serve has ended:\n" + "".join(said))


def _wait_for_sweeps(address: str, sweeps: int) -> None:
    """Return when every app was swept at least `sweeps` times."""
    end = time.monotonic() + LONGEST_SECONDS
    counter = re.compile(rb'^rtcmpu_collection_attempts_total\{[^}]*kind="sweep",outcome="ok"\} (\S+)$', re.MULTILINE)
    while time.monotonic() < end:
        with urllib.request.urlopen(address, timeout=10) as answer:  # noqa: S310 - loopback
            counts = [float(count) for count in counter.findall(answer.read())]
        if len(counts) == ACCOUNTS and min(counts) >= sweeps:
            return
        time.sleep(0.5)
    raise TimeoutError(f"not every app was swept {sweeps} times within {LONGEST_SECONDS:.0f} s")


def _memory(process_id: int) -> tuple[int, int]:
    """Return what of a process is resident, and what was at most, in bytes."""
    status = Path(f"/proc/{process_id}/status").read_text()
    sizes = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", status, re.MULTILINE))
    return int(sizes["VmRSS"]) * 1024, int(sizes["VmHWM"]) * 1024
