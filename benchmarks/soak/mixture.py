"""Minutes of mixed faults and churn against the program as a process; then everything has to be as it began."""

import os
import random
import re
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import bcrypt
import trustme

from benchmarks.processes import status_of
from benchmarks.report import show
from exporter.collector.past import NEWEST
from exporter.simulator.faults import FAULTS
from exporter.simulator.simulation import ACCESS_KEY_ID, ACCESS_KEY_SECRET
from tests.support.configurations import account, write_configuration
from tests.support.http import Answer, ask, ask_json, basic_auth
from tests.support.monitored import sample
from tests.support.processes import Programs, Running, eventually

APPS = tuple(f"app-{number}" for number in range(1, 7))
CONFIGURATION = (
    "collection: {interval: 500ms, sweep_interval: 3s, stale_after: 10s, request_timeout: 1s}\n"
    "metrics: {per_task: {enabled: true}}\n"
    "policy: {rule_files: [heavy.yml]}\n"
)
RULES = """
rules:
- {name: hosts, title: Hosts, severity: info, expect: 'task.outputs.all(o, o.host.matches("^(a?){4}a{4}(b|.)+$"))'}
- {name: panes, title: Panes, severity: info, expect: 'task.panes.all(p, task.panes.all(q, p.x <= q.x || q.x <= p.x))'}
"""
USER, PASSWORD, WRONG = "prometheus", "right", "wrong"
RIGHT = basic_auth(USER, PASSWORD)
CHURN = {"update": 12, "create": 3, "delete": 3, "resave": 2}
WARM_UP_SECONDS = 90.0
FAULTY_SECONDS = 8.0
GOOD_SECONDS = 4.0
RECOVERS_WITHIN_SECONDS = 60.0
AT_REST_SECONDS = 65.0
"""Connections that are kept alive, and calls that hang, end within this time."""
SEED = 1
MORE_BLOCKS = 1.1
"""By which factor Python's memory in use may have grown: the newest changes are not the same ones."""
MORE_MEMORY = 1.25
"""The same of the memory of the process, in which freed pieces lie between others."""

MOST_THREADS = 1 + min(32, (os.cpu_count() or 1) + 4) + 4
"""The main one, asyncio's pool, and uvloop's for names: both grow as they are needed, up to their bounds, and stay."""
KEPT_ALIVE = 2 * len(APPS)
"""Connections that may happen to be kept alive, of those that the last seconds needed together."""


class Footing(NamedTuple):
    """What a process holds."""

    memory_mib: float
    file_descriptors: int
    threads: int
    tasks: int
    blocks: int


def run(minutes: float) -> bool:
    """Run and print; return whether nothing is left over and all apps are up again."""
    with tempfile.TemporaryDirectory() as directory, Programs(Path(directory)) as programs:
        _, simulator = programs.start_simulator(f"--apps={len(APPS)}", "--tasks=150", "--churn=0", f"--seed={SEED}")
        words = ("-m", "benchmarks.soak.served", "places", programs.directory)
        places = programs.start(sys.executable, *words, name="places")
        troubles = Troubles(programs.directory, places.wait_for(r"^places (.*)$")[1])
        secret = f"{{access_key_id: {ACCESS_KEY_ID}, access_key_secret_file: secret}}"
        entry = re.sub(r"(?<=credentials: ){.*}", secret, account(simulator, APPS))
        config = write_configuration(programs.directory, entry, rest=CONFIGURATION)
        daemon, url = _start(programs, config)
        storm = Storm(simulator, url, troubles)
        storm.blow(WARM_UP_SECONDS)
        storm.fill_history()
        storm.calm()
        before = _footing(daemon)
        storm.blow(60 * minutes)
        storm.calm()
        after = _footing(daemon)
        faults = ask_json(f"{simulator}/-/stats")["by_fault"]
        ended = daemon.end()
    _print(before, after, storm, faults)
    return _is_as_before(before, after) and ended.code == 0


class Troubles:
    """Files around the configuration that come, go and change."""

    def __init__(self, directory: Path, places: str) -> None:
        self._directory = directory
        self._places = places
        (directory / "heavy.yml").write_text(RULES)
        hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()
        (directory / "web.yml").write_text(f"basic_auth_users: {{{USER}: '{hashed}'}}\n")
        self.authority = (directory / "ca.pem").read_text()
        self.end()

    def begin(self) -> None:
        """Add the broken accounts, and let the right secret go."""
        (self._directory / "troubles").write_text(self._places)
        (self._directory / "secret").write_text("rotated too soon")
        (self._directory / "ca.pem").write_bytes(trustme.CA().cert_pem.bytes())

    def end(self) -> None:
        """Undo it."""
        (self._directory / "troubles").unlink(missing_ok=True)
        (self._directory / "secret").write_text(ACCESS_KEY_SECRET)
        (self._directory / "ca.pem").write_text(self.authority)


class Storm:
    """Faults and churn that are switched on and off while somebody scrapes."""

    def __init__(self, simulator: str, exporter: str, troubles: Troubles) -> None:
        self.scrapes = 0
        self.recoveries: list[float] = []
        """How long it took each time until all apps were up."""
        self._simulator = simulator
        self._exporter = exporter
        self._troubles = troubles
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
            self._troubles.begin()
            self._reload()
            self._attack()
            self._scrape_for(FAULTY_SECONDS)
            self._attack()
            self._troubles.end()
            self._reload()
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

    def fill_history(self) -> None:
        """Change tasks until as many changes are remembered as ever will be."""
        changes = 0.0
        while changes < NEWEST:
            for app_id in APPS:
                burst = {"kind": "update", "app_id": app_id, "count": 100}
                ask_json(f"{self._simulator}/-/burst", method="POST", body=burst)
            self._scrape_for(1)
            seen = re.findall(r"^rtcmpu_task_changes_total{.*} (\S+)$", self._scrape(), re.MULTILINE)
            changes = sum(map(float, seen))

    def _reload(self) -> None:
        answer = self._post()
        assert answer.status == 200, answer.text

    def _post(self, **headers: str) -> Answer:
        return ask(f"{self._exporter}/-/reload", method="POST", headers={**RIGHT, **headers}, seconds=30)

    def _attack(self) -> None:
        """Guess passwords from ten places at once, and post as other sites do."""
        with ThreadPoolExecutor(10) as pool:
            guesses = (basic_auth(USER, f"{WRONG}{number}") for number in range(40))
            asked = pool.map(lambda guess: ask(f"{self._exporter}/metrics", headers=guess, seconds=60), guesses)
            self._scrape()
            assert {answer.status for answer in asked} <= {401, 429, 503}
        assert self._post(Origin="http://elsewhere.example").status == 403

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
        assert ask(f"{self._exporter}/metrics/tasks", headers=RIGHT).status == 200
        answer = ask(f"{self._exporter}/metrics", headers=RIGHT)
        assert answer.status == 200
        fine = re.findall(r'_state\{account="fine",app_id="app-1",state="(\w+)"\} 1\.0', answer.text)
        assert fine in ([], ["pending"], ["ok"]), f"the account that works is {fine}"
        return answer.text


def _start(programs: Programs, config: Path) -> tuple[Running, str]:
    """Start the program, so that it can also be asked for its tasks."""
    words = (
        *("serve", f"--config.file={config}", "--web.listen-address=127.0.0.1:0"),
        *(f"--web.config.file={config.parent / 'web.yml'}", "--web.enable-lifecycle"),
    )
    daemon = programs.start(sys.executable, "-m", "benchmarks.soak.served", *words, name="exporter")
    port = daemon.wait_for(r"listening.*127\.0\.0\.1:(\d+)")[1]
    return daemon, f"http://127.0.0.1:{port}"


def _footing(running: Running) -> Footing:
    """Look at a process."""
    looks = [_look(running) for _ in range(20)]
    return Footing(
        memory_mib=status_of(running.pid, "VmRSS") / 1024,
        file_descriptors=sum(1 for _ in Path(f"/proc/{running.pid}/fd").iterdir()),
        threads=status_of(running.pid, "Threads"),
        tasks=min(tasks for tasks, _ in looks),
        blocks=min(blocks for _, blocks in looks),
    )


def _look(running: Running) -> tuple[int, int]:
    """Return how many tasks and blocks of memory there are; of several looks the least counts: some apps are read."""
    line = re.compile(r"^tasks=(\d+) blocks=(\d+)$", re.MULTILINE)
    known = len(line.findall(running.err))

    def newest() -> tuple[int, int]:
        shown = line.findall(running.err)
        assert len(shown) > known
        return int(shown[-1][0]), int(shown[-1][1])

    time.sleep(0.03)
    running.send(signal.SIGUSR1)
    return eventually(newest, within_seconds=5)


def _is_as_before(before: Footing, after: Footing) -> bool:
    return (
        after.blocks <= MORE_BLOCKS * before.blocks
        and after.memory_mib <= MORE_MEMORY * before.memory_mib
        and after.file_descriptors <= before.file_descriptors + KEPT_ALIVE
        and after.threads <= max(before.threads, MOST_THREADS)
        and after.tasks <= before.tasks + len(APPS)
    )


def _print(before: Footing, after: Footing, storm: Storm, faults: dict[str, int]) -> None:
    recovered = ", ".join(f"{seconds:.1f} s" for seconds in storm.recoveries)
    show(
        "What a process holds",
        ("", "before", "after"),
        [
            (name.replace("_", " "), f"{then:.4g}", f"{now:.4g}")
            for name, then, now in zip(Footing._fields, before, after, strict=True)
        ],
        note=(
            f"After {sum(faults.values()):,} faults of {len(faults)} kinds, {storm.scrapes:,} scrapes. "
            f"All apps were up again after {recovered}."
        ),
    )
