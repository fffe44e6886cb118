"""Minutes of mixed faults and churn against the program as a process; then everything has to be as it began."""

import os
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from exporter.simulator.broken_answers import FAULTS
from tests.support.configurations import account, write_configuration
from tests.support.http import ask, ask_json
from tests.support.monitored import sample
from tests.support.processes import Programs, Running, eventually

APPS = tuple(f"app-{number}" for number in range(1, 7))
CONFIGURATION = (
    "collection: {interval: 500ms, sweep_interval: 3s, stale_after: 10s, request_timeout: 1s}\n"
    "metrics: {per_task: {enabled: true}}\n"
)
CHURN = {"update": 12, "create": 3, "delete": 3, "resave": 2}
WARM_UP_SECONDS = 45.0
FAULTY_SECONDS = 8.0
GOOD_SECONDS = 4.0
RECOVERS_WITHIN_SECONDS = 60.0
AT_REST_SECONDS = 20.0
"""Connections that are kept alive end within this time."""
SEED = 1
MORE_MEMORY = 1.15
"""What the memory may have grown by: the newest changes are remembered, up to a bound."""

MOST_THREADS = 1 + min(32, (os.cpu_count() or 1) + 4) + 4
"""The main one, asyncio's pool, and uvloop's for names: both grow as they are needed, up to their bounds, and stay."""
KEPT_ALIVE = 4
"""Connections that may happen to be kept alive, of those that the last seconds needed at once."""


class Footing(NamedTuple):
    """What a process holds."""

    memory_mib: float
    file_descriptors: int
    threads: int
    tasks: int


def run(minutes: float) -> bool:
    """Run and print; return whether nothing is left over and all apps are up again."""
    with tempfile.TemporaryDirectory() as directory, Programs(Path(directory)) as programs:
        _, simulator = programs.start_simulator(f"--apps={len(APPS)}", "--tasks=150", "--churn=0", f"--seed={SEED}")
        config = write_configuration(programs.directory, account(simulator, APPS), rest=CONFIGURATION)
        daemon, url = _start(programs, config)
        storm = Storm(simulator, url)
        storm.blow(WARM_UP_SECONDS)
        storm.calm()
        before = _footing(daemon)
        storm.blow(60 * minutes)
        storm.calm()
        after = _footing(daemon)
        faults = ask_json(f"{simulator}/-/stats")["by_fault"]
        ended = daemon.end()
    _print(before, after, storm, faults)
    return _is_as_before(before, after) and ended.code == 0 and "level=error" not in ended.err


class Storm:
    """Faults and churn that are switched on and off while somebody scrapes."""

    def __init__(self, simulator: str, exporter: str) -> None:
        self.scrapes = 0
        self.recoveries: list[float] = []
        """How long it took each time until all apps were up."""
        self._simulator = simulator
        self._exporter = exporter
        self._random = random.Random(SEED)  # noqa: S311 - a choice of faults, no secret

    def blow(self, seconds: float) -> None:
        """Let one round of faults follow another; after each, all is well for a while."""
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            ask_json(f"{self._simulator}/-/churn", method="POST", body=CHURN)
            for name in self._random.sample(sorted(FAULTS), 4):
                fault = {"name": name, "rate": self._random.choice((0.05, 0.3, 1.0))}
                if fault["rate"] == 1.0:
                    fault["app_id"] = self._random.choice(APPS)
                ask_json(f"{self._simulator}/-/faults", method="POST", body=fault)
            self._scrape_for(FAULTY_SECONDS)
            ask_json(f"{self._simulator}/-/faults", method="DELETE")
            self._scrape_for(GOOD_SECONDS)

    def calm(self) -> None:
        """End all faults and churn, wait until every app is up, and rest."""
        ask_json(f"{self._simulator}/-/churn", method="POST", body={})
        began = time.monotonic()
        eventually(self._all_up, within_seconds=RECOVERS_WITHIN_SECONDS)
        self.recoveries.append(time.monotonic() - began)
        time.sleep(AT_REST_SECONDS)
        self._all_up()

    def _all_up(self) -> None:
        text = self._scrape()
        assert all(sample(text, "rtcmpu_up", app_id=app_id) == 1 for app_id in APPS), "not every app is up"

    def _scrape_for(self, seconds: float) -> None:
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            self._scrape()
            time.sleep(0.25)

    def _scrape(self) -> str:
        self.scrapes += 1
        assert ask(f"{self._exporter}/metrics/tasks").status == 200
        answer = ask(f"{self._exporter}/metrics")
        assert answer.status == 200
        return answer.text


def _start(programs: Programs, config: Path) -> tuple[Running, str]:
    """Start the program, so that it can also be asked for its tasks."""
    words = ("serve", f"--config.file={config}", "--web.listen-address=127.0.0.1:0", "--log.level=info")
    daemon = programs.start(sys.executable, "-m", "benchmarks.soak.served", *words, name="exporter")
    port = daemon.wait_for(r"listening.*127\.0\.0\.1:(\d+)")[1]
    return daemon, f"http://127.0.0.1:{port}"


def _footing(running: Running) -> Footing:
    """Look at a process."""
    status = Path(f"/proc/{running.pid}/status").read_text()
    return Footing(
        memory_mib=_number(status, "VmRSS") / 1024,
        file_descriptors=sum(1 for _ in Path(f"/proc/{running.pid}/fd").iterdir()),
        threads=_number(status, "Threads"),
        tasks=_tasks(running),
    )


def _tasks(running: Running) -> int:
    """Return the least number of tasks of several looks: at each, turns of some apps may be under way."""
    counted: list[int] = []
    for _ in range(20):
        known = len(re.findall(r"^tasks=\d+$", running.err, re.MULTILINE))
        running.send(signal.SIGUSR1)
        counted.append(int(eventually(_one_more(running, known), within_seconds=5)))
        time.sleep(0.03)
    return min(counted)


def _one_more(running: Running, known: int) -> Callable[[], str]:
    """Return what returns the newest answer, as soon as there are more than before."""

    def newest() -> str:
        told = re.findall(r"^tasks=(\d+)$", running.err, re.MULTILINE)
        assert len(told) > known
        return str(told[-1])

    return newest


def _is_as_before(before: Footing, after: Footing) -> bool:
    return (
        after.memory_mib <= MORE_MEMORY * before.memory_mib
        and after.file_descriptors <= before.file_descriptors + KEPT_ALIVE
        and after.threads <= max(before.threads, MOST_THREADS)
        and after.tasks <= before.tasks + len(APPS)
    )


def _print(before: Footing, after: Footing, storm: Storm, faults: dict[str, int]) -> None:
    table = Table(caption=f"after {sum(faults.values()):,} faults of {len(faults)} kinds, {storm.scrapes:,} scrapes")
    for heading in ("", "before", "after"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, then, now in zip(Footing._fields, before, after, strict=True):
        table.add_row(name.replace("_", " "), f"{then:.4g}", f"{now:.4g}")
    console = Console()
    console.print(table)
    console.print("all apps up again after", ", ".join(f"{seconds:.1f} s" for seconds in storm.recoveries))


def _number(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)
    assert found, name
    return int(found[1])
