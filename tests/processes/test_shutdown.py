"""The end of the daemon as a process: nothing is cut off that can end well, and nothing keeps it from ending."""

import errno
import re
import signal
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from exporter.storage.database import Database
from tests.support.configurations import QUICK, account, write_configuration
from tests.support.http import ask
from tests.support.processes import ROOT, Programs, Running, eventually

pytestmark = pytest.mark.processes

STOPS_WITHIN_SECONDS = 15.0
QUICKLY_SECONDS = 9.0  # less than a request may take
TASKS = 3000  # this many that an exposition of single tasks is larger than all buffers on the way
LEAST_BYTES = 5_000_000


@pytest.fixture(scope="module")
def large_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a service whose app has many tasks."""
    with Programs(tmp_path_factory.mktemp("large")) as programs:
        yield programs.start_simulator("--apps=1", f"--tasks={TASKS}", "--churn=0")[1]


def _serving(programs: Programs, large_app: str) -> tuple[Running, str, Path]:
    """Start a daemon that has much to say, and knows it."""
    state = programs.directory / "state"
    rest = (
        f"{QUICK}storage: {{url: 'sqlite:{state}'}}\nmetrics: {{per_task: {{enabled: true}}}}\n"
        "policy: {default_rules: false}\n"
    )
    daemon, url = programs.start_daemon(write_configuration(programs.directory, account(large_app), rest=rest))

    def has_all() -> None:
        assert len(ask(f"{url}/metrics/tasks").body) > LEAST_BYTES

    eventually(has_all)
    return daemon, url, state


def _half_read(url: str) -> socket.socket:
    """Ask for everything, and read only the beginning of the answer."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    client = socket.create_connection((host, int(port)))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.sendall(f"GET /metrics/tasks HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert client.recv(1024).startswith(b"HTTP/1.1 200 OK")
    return client


def _refuses(url: str) -> None:
    """Check that nobody listens any more."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    with socket.socket() as client:
        assert client.connect_ex((host, int(port))) == errno.ECONNREFUSED


def _rest(client: socket.socket) -> int:
    """Read to the end; return how many bytes there were."""
    size = 0
    while piece := client.recv(1 << 16):
        size += len(piece)
    return size


def test_sigterm_ends_it_well_and_quietly(programs: Programs) -> None:
    """SIGTERM while requests are under way: exit code 0 in time, and no word of anything that failed."""
    _, simulator = programs.start_simulator("--apps=3", "--tasks=5", "--churn=0", "--fault=slow")
    daemon, url = programs.start_daemon(
        write_configuration(programs.directory, account(simulator, ["app-1", "app-2", "app-3"]))
    )

    def is_read() -> None:
        assert len(re.findall(r"^rtcmpu_up\{.*\} 1\.0$", ask(f"{url}/metrics").text, re.MULTILINE)) == 3

    eventually(is_read)

    daemon.send(signal.SIGTERM)
    ended = daemon.ended(within_seconds=QUICKLY_SECONDS)

    assert (ended.code, ended.out) == (0, "")
    assert "msg=stopping" in ended.err
    assert not [line for line in ended.err.splitlines() if not re.match(r"ts=\S+ level=(debug|info) ", line)]


def test_sigterm_does_not_wait_for_a_service_that_hangs(programs: Programs) -> None:
    """While no app has been read it is healthy; SIGTERM ends it in time though requests are under way."""
    _, simulator = programs.start_simulator("--apps=2", "--fault=hang")
    daemon, url = programs.start_daemon(write_configuration(programs.directory, account(simulator, ["app-1", "app-2"])))

    assert ask(f"{url}/-/healthy").status == 200
    daemon.send(signal.SIGTERM)
    assert daemon.ended(within_seconds=QUICKLY_SECONDS).code == 0


def test_an_answer_that_is_being_read_is_read_to_its_end(programs: Programs, large_app: str) -> None:
    """SIGTERM in the middle of a large answer: the client gets all of it, new clients nothing, the state is written."""
    daemon, url, state = _serving(programs, large_app)
    with _half_read(url) as client:
        daemon.send(signal.SIGTERM)
        daemon.wait_for("msg=stopping")
        eventually(partial(_refuses, url))
        assert _rest(client) > LEAST_BYTES
    assert daemon.ended(within_seconds=STOPS_WITHIN_SECONDS).code == 0
    database = Database(f"sqlite:{state}")
    (saved,) = database.load()
    database.close()
    assert len(saved.entries) == TASKS


def test_a_client_that_does_not_read_keeps_it_for_seconds_alone(programs: Programs, large_app: str) -> None:
    """An answer that nobody reads is cut off: the end comes in time all the same, and well."""
    daemon, url, _ = _serving(programs, large_app)
    with _half_read(url):
        daemon.send(signal.SIGTERM)
        assert daemon.ended(within_seconds=STOPS_WITHIN_SECONDS).code == 0


def test_a_second_signal_ends_at_once(programs: Programs, large_app: str) -> None:
    """Who does not want to wait for the clients sends SIGTERM again."""
    daemon, url, _ = _serving(programs, large_app)
    with _half_read(url):
        daemon.send(signal.SIGTERM)
        daemon.wait_for("msg=stopping")
        time.sleep(0.5)
        daemon.send(signal.SIGTERM)
        assert daemon.ended(within_seconds=STOPS_WITHIN_SECONDS).code == -signal.SIGTERM


def test_the_demo_ends_with_its_terminal(programs: Programs) -> None:
    """Closing the window leaves nothing that keeps the ports; until then only the addresses are printed."""
    demo = programs.start_exporter("demo", "--web.listen-address=127.0.0.1:0", "--simulator.listen-address=127.0.0.1:0")
    demo.wait_for("Ctrl-C ends both")
    demo.send(signal.SIGHUP)
    ended = demo.ended(within_seconds=STOPS_WITHIN_SECONDS)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.endswith("Ctrl-C ends both\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("command", "is_daemon"), [("serve", True), ("demo", True), ("collect", False)])
def test_signals_are_handled_before_anything_large_is_imported(
    command: str, is_daemon: bool, number: signal.Signals, programs: Programs
) -> None:
    """While the program is being loaded, SIGHUP does not end the daemon; SIGTERM and Ctrl-C do, silently."""
    slow = programs.directory / "click"
    slow.mkdir()
    (slow / "__init__.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    programs.env["PYTHONPATH"] = f"{programs.directory}:{ROOT}"
    exporter = programs.start_exporter(command)
    exporter.wait_for("importing")
    if command == "serve":
        exporter.send(signal.SIGHUP)
    exporter.send(number)
    ended = exporter.ended(within_seconds=STOPS_WITHIN_SECONDS)
    assert (ended.code, ended.err) == (0 if is_daemon else -number, "")
