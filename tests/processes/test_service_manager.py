"""The daemon under a service manager: what it says on a real socket, which sockets it takes, how confined it works."""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter import __version__
from tests.deploy.unit_file import SERVICE
from tests.support.configurations import QUICK, account, write_configuration
from tests.support.http import ask
from tests.support.processes import LONG_SECONDS, Programs, Running, eventually, exporter, free_port, needed_tool

pytestmark = pytest.mark.processes

WATCHDOG_SECONDS = 20


class Manager:
    """Listens where a service manager would."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.address = str(path)

    def close(self) -> None:
        self._socket.close()

    def next(self, *, within_seconds: float = LONG_SECONDS) -> str:
        """Return the next message's first line; signs of life are messages too."""
        self._socket.settimeout(within_seconds)
        return self._socket.recv(4096).decode().splitlines()[0]

    def next_turn(self) -> str:
        """Return the next message's first line that is no sign of life."""
        while (message := self.next()) == "WATCHDOG=1":
            pass
        return message


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """Listen at a path of the test's own."""
    listening = Manager(tmp_path / "notify")
    yield listening
    listening.close()


@pytest.fixture
def watched(tmp_path: Path, manager: Manager) -> Iterator[Programs]:
    """Start programs that have this manager and its watchdog."""
    reported = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": str(WATCHDOG_SECONDS * 1_000_000)}
    with Programs(tmp_path, env=reported) as started:
        yield started


def test_the_manager_hears_of_each_turn_of_the_daemon(watched: Programs, manager: Manager) -> None:
    """Ready when it answers, alive within the watchdog's time, reloading and ready at SIGHUP, stopping at SIGTERM."""
    _, simulator = watched.start_simulator("--apps=1", "--tasks=5", "--churn=0")
    config = write_configuration(watched.directory, account(simulator))
    daemon, url = watched.start_daemon(config)

    assert manager.next() == "READY=1"
    assert ask(f"{url}/-/healthy").status == 200
    for _ in range(2):
        assert manager.next(within_seconds=WATCHDOG_SECONDS / 2) == "WATCHDOG=1"

    daemon.send(signal.SIGHUP)
    assert [manager.next_turn(), manager.next_turn()] == ["RELOADING=1", "READY=1"]
    config.write_text("no configuration")
    daemon.send(signal.SIGHUP)
    assert [manager.next_turn(), manager.next_turn()] == ["RELOADING=1", "READY=1"]

    write_configuration(watched.directory, account(simulator))
    daemon.send(signal.SIGTERM)
    while (turn := manager.next_turn()) in {"RELOADING=1", "READY=1"}:
        pass  # the mended file may have been noticed before
    assert turn == "STOPPING=1"
    assert daemon.ended(within_seconds=20).code == 0


def test_a_daemon_that_can_not_start_is_never_ready(watched: Programs, manager: Manager) -> None:
    """With a mistake in the configuration it ends with the code that the unit does not try again, and said nothing."""
    config = write_configuration(watched.directory, "- nonsense\n")
    assert watched.run_exporter("serve", f"--config.file={config}").code == 2
    with pytest.raises(TimeoutError):
        manager.next(within_seconds=0.1)


def activated(programs: Programs, *words: str) -> tuple[Running, list[str]]:
    """Let systemd's own program listen on two ports and start the daemon at the first connection; return the URLs."""
    _, simulator = programs.start_simulator("--apps=1", "--tasks=5", "--churn=0")
    config = write_configuration(programs.directory, account(simulator))
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    running = programs.start(
        needed_tool("systemd-socket-activate"),
        *(f"--listen={address}" for address in addresses),
        *(f"--setenv={name}={value}" for name, value in programs.env.items()),
        *exporter("serve", f"--config.file={config}", *words),
    )
    running.wait_for(r"Listening on \S*" + addresses[1])
    return running, [f"http://{address}" for address in addresses]


def test_it_serves_on_the_sockets_that_systemd_listens_on(programs: Programs) -> None:
    """The request that has it started is answered, all sockets serve metrics, and SIGTERM ends it well."""
    running, urls = activated(programs, "--web.systemd-socket")
    assert ask(f"{urls[0]}/-/healthy", seconds=LONG_SECONDS).status == 200

    def is_read() -> None:
        for url in urls:
            assert 'rtcmpu_up{account="production",app_id="app-1"} 1.0' in ask(f"{url}/metrics").text

    eventually(is_read)
    addresses = ", ".join(url.removeprefix("http://") for url in urls)
    assert f'msg=listening addresses="{addresses}" version={__version__}' in running.err
    running.send(signal.SIGTERM)
    assert running.ended(within_seconds=20).code == 0


CONFINED = (sys.executable, "-m", "tests.deploy.unit_file", SERVICE)
ATTEMPTS = """
import mmap, os, socket
for attempt in (lambda: mmap.mmap(-1, 4096, prot=7), lambda: os.chroot("/"), lambda: socket.socket(socket.AF_NETLINK)):
    try:
        attempt()
        print("allowed")
    except PermissionError:
        print("refused")
"""


@pytest.fixture
def confinement() -> None:
    """Skip where the kernel lacks what the confinement is made of."""
    needed_tool("systemd-analyze")
    major, minor = map(int, os.uname().release.split(".")[:2])
    if (major, minor) < (6, 3):
        pytest.skip("the kernel has to be 6.3 or newer")


@pytest.mark.usefixtures("confinement")
def test_the_confinement_confines(programs: Programs) -> None:
    """What the unit forbids is refused: memory to write and execute, a privileged call, another address family."""
    done = programs.start(*CONFINED, sys.executable, "-c", ATTEMPTS).ended(within_seconds=LONG_SECONDS)
    assert done.out.split() == ["refused"] * 3, done.err


@pytest.mark.usefixtures("confinement")
def test_the_daemon_works_as_confined_as_its_unit_has_it(programs: Programs) -> None:
    """With the unit's system calls, families and memory it collects, evaluates, saves state, reloads and ends well."""
    _, simulator = programs.start_simulator("--apps=1", "--tasks=5", "--churn=0")
    config = write_configuration(
        programs.directory, account(simulator), rest=f"{QUICK}storage: {{url: 'sqlite:state/rtcmpu.db'}}\n"
    )
    port = free_port()
    daemon = programs.start(
        *CONFINED, *exporter("serve", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}")
    )

    def is_read() -> None:
        text = ask(f"http://127.0.0.1:{port}/metrics").text
        assert 'rtcmpu_up{account="production",app_id="app-1"} 1.0' in text
        assert 'rtcmpu_policy_evaluated_tasks{account="production",app_id="app-1",rule="gop-too-long"} 5.0' in text
        assert "\nprocess_resident_memory_bytes " in text

    eventually(is_read)
    daemon.send(signal.SIGHUP)
    daemon.wait_for("configuration loaded again")
    daemon.send(signal.SIGTERM)
    ended = daemon.ended(within_seconds=20)
    assert (ended.code, "level=error" in ended.err) == (0, False), ended.err
    assert (programs.directory / "state" / "rtcmpu.db").stat().st_size > 0
