"""Memory of a real `serve` process by how many tasks it knows, and what its scrapes take meanwhile.

It is taken when all rules were evaluated, and again after every task has changed. The tasks are spread over two
accounts, each with one app and a budget of its own, so that the first sweep is sooner over. The service runs in a
process of its own.
"""

import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from benchmarks.processes import CHANGE_ALL, Serve, Simulated, simulator, status_of
from benchmarks.report import milliseconds, show
from benchmarks.scraping import Scrapes, scrape
from tests.support.configurations import account, write_configuration
from tests.support.http import ask
from tests.support.processes import Programs

ACCOUNTS = 2
TASK_COUNTS = (100, 100_000)
SWEEPS = 2
LONGEST_SECONDS = 1500.0
SCRAPES = 200
AIM_BYTES_OF_A_TASK = 450
MIB = 1024 * 1024


class Footprint(Struct, frozen=True):
    """What one process took."""

    tasks: int
    shown: int  # in `rtcmpu_tasks`, over all apps
    resident_bytes: int  # after the last of `SWEEPS` sweeps
    peak_bytes: int
    aged_bytes: int | None  # resident, after every task has changed and was swept `SWEEPS` times
    first_sweeps_seconds: float  # until every app was read
    scrapes: Scrapes


def main() -> None:
    """Print the table."""
    show_footprints([footprint(tasks, age=True) for tasks in TASK_COUNTS])


def show_footprints(footprints: Sequence[Footprint]) -> None:
    """Print the table; the first is what the others are compared with."""
    least, *_ = footprints

    def of_a_task(taken: Footprint, resident: int | None, least_resident: int | None) -> str:
        if taken is least or resident is None or least_resident is None:
            return ""
        return f"{(resident - least_resident) / (taken.tasks - least.tasks):.0f} B"

    show(
        "A serve process, all sweeps over",
        ("tasks", "shown", "resident", "peak", "a task", "all changed", "a task", "first sweep", "scrape p50", "p99"),
        [
            (
                f"{taken.tasks:,}",
                f"{taken.shown:,}",
                f"{taken.resident_bytes / MIB:.0f} MiB",
                f"{taken.peak_bytes / MIB:.0f} MiB",
                of_a_task(taken, taken.resident_bytes, least.resident_bytes),
                "" if taken.aged_bytes is None else f"{taken.aged_bytes / MIB:.0f} MiB",
                of_a_task(taken, taken.aged_bytes, least.aged_bytes),
                f"{taken.first_sweeps_seconds:.0f} s",
                milliseconds(taken.scrapes.median),
                milliseconds(taken.scrapes.p99),
            )
            for taken in footprints
        ],
        note=(
            f"Aim: {AIM_BYTES_OF_A_TASK} B a task, and 550 MiB at 1,000,000. "
            "'a task': what is more than with the fewest, divided."
        ),
    )


def footprint(
    tasks: int, *, age: bool, sweeps: int = SWEEPS, accounts: int = ACCOUNTS, service: Serve | None = None
) -> Footprint:
    """Run `serve` on some tasks until it has swept all of them.

    Args:
        tasks: How many.
        age: Whether every task is changed afterwards, and memory is taken again.
        sweeps: How often; with one the next is far off, so that rules are evaluated undisturbed.
        accounts: Over how many accounts they are spread.
        service: What serves the list, if not the simulator.
    """
    aged = None
    fleet = Simulated(accounts=accounts, tasks=tasks // accounts, requests_per_second=100_000)
    with (
        simulator(fleet, service) as url,
        tempfile.TemporaryDirectory() as directory,
        Programs(Path(directory)) as programs,
    ):
        config = write_configuration(
            Path(directory),
            *(
                account(
                    url,
                    fleet.app_ids(number),
                    name=f"account-{number}",
                    key_id=f"key-{number}",
                    key_secret="secret",
                    more="requests_per_second: 50",
                )
                for number in range(1, accounts + 1)
            ),
            rest=(
                f"collection: {{interval: 10s, sweep_interval: {'15s' if sweeps > 1 else '20m'}, stale_after: 1h,"
                " max_tasks_per_app: 1000000}\n"
            ),
        )
        began = time.monotonic()
        running, served = programs.start_daemon(config, "--log.level=info")
        address = f"{served}/metrics"
        _wait_for_sweeps(address, accounts, 1)
        first_sweeps_seconds = time.monotonic() - began
        scrapes = scrape(address, times=SCRAPES, pause_seconds=0.005)
        swept = _wait_for_sweeps(address, accounts, sweeps, evaluated=True)
        resident, peak = (1024 * status_of(running.pid, name) for name in ("VmRSS", "VmHWM"))
        shown = sum(map(int, re.findall(r"^rtcmpu_tasks\{.*\} (\d+)", ask(address, seconds=60).text, re.MULTILINE)))
        if age:
            ask(url + CHANGE_ALL, method="POST", seconds=LONGEST_SECONDS)
            _wait_for_sweeps(address, accounts, swept + 1 + SWEEPS, evaluated=True)
            aged = 1024 * status_of(running.pid, "VmRSS")
    return Footprint(tasks, shown, resident, peak, aged, first_sweeps_seconds, scrapes)


def _wait_for_sweeps(address: str, accounts: int, sweeps: int, *, evaluated: bool = False) -> int:
    """Return how often every app was swept when that is at least `sweeps` times, and the rules were evaluated if so."""
    end = time.monotonic() + LONGEST_SECONDS
    violations = re.compile(rb'^rtcmpu_policy_violations\{[^}]*app_id="([^"]+)"', re.MULTILINE)
    counter = re.compile(rb'^rtcmpu_collection_attempts_total\{[^}]*kind="sweep",outcome="ok"\} (\S+)$', re.MULTILINE)
    while time.monotonic() < end:
        try:
            body = ask(address, seconds=60).body
        except OSError:  # it is busy for longer than it lets a client wait
            body = b""
        counts = [int(float(count)) for count in counter.findall(body)]
        has_all = not evaluated or len(set(violations.findall(body))) == accounts
        if len(counts) == accounts and min(counts) >= sweeps and has_all:
            return max(counts)
        time.sleep(0.5)
    raise TimeoutError(f"not every app was swept {sweeps} times within {LONGEST_SECONDS:.0f} s")
