"""Starts programs for tests, watches what they say, and ends them whatever happens; finds the tools that tests need."""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import ClassVar, NamedTuple, Self, TypeVar

import pytest

from tests.support.forked import Forked

ROOT = Path(__file__).parent.parent.parent
POLL_SECONDS = 0.05
ENDED_POLL_SECONDS = 0.01
LONGEST_POLL_SECONDS = 0.5
LONG_SECONDS = 90.0
"""More than anything takes here on a machine that has much else to do: it passes only where something is wrong."""

T = TypeVar("T")


class Finished(NamedTuple):
    """A program that has ended."""

    code: int
    out: str
    err: str


class Running:
    """A program that was started; what it writes is kept in files. Forked, it is a run of the program under test."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        name: str,
        directory: Path,
        env: Mapping[str, str],
        is_forked: bool,
        waits_a_window: bool,
    ) -> None:
        self.name = name
        self._out, self._err = directory / f"{name}.out", directory / f"{name}.err"
        self._process: subprocess.Popen[bytes] | Forked
        words = list(map(str, command))
        if is_forked:
            self._process = Forked(
                words,
                out=self._out,
                err=self._err,
                directory=directory,
                env=env,
                waits_a_window=waits_a_window,
            )
            return
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=directory, env=dict(env)
            )

    @property
    def out(self) -> str:
        return self._out.read_text(errors="replace")

    @property
    def err(self) -> str:
        """What it has written to standard error: its log."""
        return self._err.read_text(errors="replace")

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def wait_for(self, pattern: str, *, within_seconds: float = LONG_SECONDS) -> re.Match[str]:
        """Return where a pattern is in what it writes, as soon as it is there."""

        def find() -> re.Match[str]:
            found = re.search(pattern, self.out + self.err, re.MULTILINE)
            assert found, f"{self.name} did not say {pattern!r} but:\n{self.out}{self.err}"
            return found

        return eventually(find, within_seconds=within_seconds, unless=lambda: self._process.poll() is not None)

    def check_that_it_runs(self) -> None:
        code = self._process.poll()
        assert code is None, f"{self.name} has ended with {code}:\n{self.out}{self.err}"

    def send(self, number: signal.Signals) -> None:
        self.check_that_it_runs()
        self._process.send_signal(number)

    def ended(self, *, within_seconds: float) -> Finished:
        """Return how it ended within a time, beside that for which it waited for a processor."""
        limit = time.monotonic() + within_seconds - starved_seconds(self.pid)
        while self._process.poll() is None and time.monotonic() < limit + starved_seconds(self.pid):
            time.sleep(ENDED_POLL_SECONDS)
        return Finished(self._process.wait(0), self.out, self.err)

    def end(self) -> Finished:
        """End it, by force if it takes long."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            code = self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait(10)
        return Finished(code, self.out, self.err)


class Programs:
    """All programs of a test, ended with it.

    Args:
        directory: Where they run and where their output is kept.
        env: Added to an environment that has nothing of the user's.
        wait_a_window: Whether forked daemons leave the second before their first request to a process before them.
    """

    forks_daemons: ClassVar[bool] = False
    """Whether daemons are forked too: each start takes a second less, but memory is shared and can't be measured."""

    def __init__(self, directory: Path, env: Mapping[str, str] | None = None, *, wait_a_window: bool = False) -> None:
        self.directory = directory
        self._wait_a_window = wait_a_window
        self.env = clean_environment(directory) | dict(env or {})
        self._running: list[Running] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for running in reversed(self._running):
            running.end()

    def start(self, *command: str | Path, name: str | None = None, is_forked: bool = False) -> Running:
        name = f"{len(self._running)}-{name or Path(command[0]).name}"
        running = Running(
            command,
            name=name,
            directory=self.directory,
            env=self.env,
            is_forked=is_forked,
            waits_a_window=self._wait_a_window,
        )
        self._running.append(running)
        return running

    def start_exporter(self, *words: str | Path) -> Running:
        return self.start(*exporter(*words), name="exporter")

    def start_daemon(self, config: Path, *words: str) -> tuple[Running, str]:
        """Start `serve` on a free port; return it and its URL as soon as it listens."""
        command: list[str | Path] = [
            "serve", f"--config.file={config}", "--web.listen-address=127.0.0.1:0", "--log.level=debug", *words,
        ]  # fmt: skip
        if not self.forks_daemons:
            command = exporter(*command)
        running = self.start(*command, name="exporter", is_forked=self.forks_daemons)
        port = running.wait_for(r"listening.*127\.0\.0\.1:(\d+)")[1]
        return running, f"http://127.0.0.1:{port}"

    def start_simulator(self, *words: str) -> tuple[Running, str]:
        """Start `simulate` on a free port; return it and its URL as soon as it listens."""
        running = self.start("simulate", "--listen-address=127.0.0.1:0", *words, name="simulator", is_forked=True)
        return running, running.wait_for(r"^simulator +(http://\S+)$")[1]

    def start_demo_fleet(self) -> str:
        """Start the demonstration's service at rest; return its URL."""
        return self.start(sys.executable, "-m", "tests.support.demo_fleet").wait_for(r"^simulator +(\S+)$")[1]

    def run_exporter(
        self, *words: str | Path, env: Mapping[str, str] | None = None, seconds: float = LONG_SECONDS
    ) -> Finished:
        """Run the program under test to its end; by an interpreter of its own if it has an environment of its own."""
        if env is None:
            with tempfile.TemporaryDirectory() as directory:
                out, err = Path(directory) / "out", Path(directory) / "err"
                forked = Forked(list(map(str, words)), out=out, err=err, directory=self.directory, env=self.env)
                return Finished(forked.wait(seconds), out.read_bytes().decode(), err.read_bytes().decode())
        done = subprocess.run(
            list(map(str, exporter(*words))),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            cwd=self.directory,
            env=self.env | dict(env),
            timeout=seconds,
        )
        return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


def exporter(*words: str | Path) -> list[str | Path]:
    """Return the command that runs the program under test."""
    return [sys.executable, "-m", "exporter", *words]


def clean_environment(home: Path) -> dict[str, str]:
    """Return an environment without proxies, keys and settings of anyone who runs the tests."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "LANG": "C.UTF-8",
        "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true",
    }


def free_port() -> int:
    """Return a port that nobody listens on, for programs that can't choose one.

    It is below those that the system gives to connections and to anyone who asks for any port.
    """
    while True:
        port = secrets.choice(range(10_000, 30_000))
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def eventually(
    check: Callable[[], T], *, within_seconds: float = LONG_SECONDS, unless: Callable[[], bool] = lambda: False
) -> T:
    """Return what `check` returns as soon as it does not raise AssertionError or OSError any more.

    Args:
        check: Is called again and again; the pauses are longer than what it takes.
        within_seconds: After that its last error is raised.
        unless: Whether to give up at once.
    """
    deadline = time.monotonic() + within_seconds
    while True:
        began = time.monotonic()
        given_up = unless() or began > deadline
        try:
            return check()
        except (AssertionError, OSError):
            if given_up:
                raise
        took = time.monotonic() - began
        time.sleep(min(max(POLL_SECONDS, 2 * took), LONGEST_POLL_SECONDS))


def starved_seconds(pid: int) -> float:
    """Return for how long a process has waited for a processor that others used: its thread that waited most."""
    waited = [0.0]
    for schedule in Path("/proc", str(pid), "task").glob("*/schedstat"):
        with suppress(OSError):  # it has ended meanwhile
            waited.append(int(schedule.read_text().split()[1]) / 1e9)
    return max(waited)


DEBIAN_PACKAGES = {
    "amtool": "prometheus-alertmanager",
    "curl": "curl",
    "jq": "jq",
    "chromium": "chromium",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "prometheus-node-exporter": "prometheus-node-exporter",
    "promtool": "prometheus",
    "systemd-analyze": "systemd",
    "systemd-socket-activate": "systemd",
}


def needed_tool(command: str) -> Path:
    """Return where a program is; without it the test is skipped, or fails where all tests must run (`CI=true`)."""
    found = shutil.which(command)
    if found is not None:
        return Path(found)
    advice = f"{command} is not installed: apt-get install {DEBIAN_PACKAGES[command]}"
    if os.environ.get("CI") == "true":
        pytest.fail(advice)
    pytest.skip(advice)
