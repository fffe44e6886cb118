"""The heartbeat and the end of a stuck process; what systemd is notified of and what it hands over."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter.service.process import Heartbeat, ServiceManager, inherited_sockets
from tests.support.processes import ROOT
from tests.support.virtual_time import VirtualClock, on_virtual_time, run


def test_the_worst_lag_of_a_minute_is_kept() -> None:
    """A stall shows for a minute, so that no scrape misses it, and then no longer; an early timer is not late."""
    lags = iter([-0.25, 0.5, 0.2, *[0.0] * 70])

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
def test_a_daemon_whose_loop_is_stuck_ends_with_a_traceback() -> None:
    """Even code that never gives up Python's lock is ended; a loop that beats goes on for longer than a stuck one."""
    program = (
        "import re\n"
        "from exporter import cli\n"
        "from exporter.commands import serve\n"
        "from exporter.service import daemon\n"
        "from exporter.service.monitor import Monitor\n"
        "serve.END_AFTER_SECONDS, daemon.BEAT_SECONDS = 2.0, 0.1\n"
        "beats = []\n"
        "def look(_):\n"
        "    beats.append(1)\n"
        "    if len(beats) == 25:\n"
        "        print('fed', flush=True)\n"
        "        re.match('(a+)+$', 'a' * 60 + 'b')\n"
        "Monitor.look_at_clock = look\n"
        "cli.main(['--app.id=a', '--api.endpoint=http://127.0.0.1:9', '--web.listen-address=127.0.0.1:0'])\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=120, check=False, text=True)
    assert (ended.returncode, ended.stdout) == (1, "fed\n")
    assert "re/__init__.py" in ended.stderr


@pytest.mark.processes
def test_a_crash_in_c_code_says_where_it_was(tmp_path: Path) -> None:
    """What ends the process without an exception writes a traceback of all threads to the log."""
    program = (
        "import os, signal\nfrom exporter.service.process import run\n"
        "async def crash(): os.kill(os.getpid(), signal.SIGSEGV)\nrun(crash())\n"
    )
    command = [sys.executable, "-c", program]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, timeout=60, check=False, text=True)
    assert ended.returncode == -signal.SIGSEGV
    assert "in crash" in ended.stderr


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


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Listen where a service manager would."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


def _received(manager: socket.socket) -> list[str]:
    messages = []
    try:
        while True:
            messages.append(manager.recv(4096).decode())
    except BlockingIOError:
        return messages


def test_the_manager_hears_of_every_turn(manager: socket.socket) -> None:
    """Readiness, reloads, the end and, where a watchdog asks for it, being alive are reported in its words."""
    reported = ServiceManager({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "30000000"})
    reported.ready()
    reported.reloading()
    reported.alive()
    reported.stopping()
    ready, reloading, alive, stopping = _received(manager)
    assert (ready, alive, stopping) == ("READY=1", "WATCHDOG=1", "STOPPING=1")
    first, second = reloading.splitlines()
    assert first == "RELOADING=1"
    assert second.removeprefix("MONOTONIC_USEC=").isdigit()
    assert reported.watchdog_seconds == 30


def test_after_the_end_is_reported_nothing_is_ready_again(manager: socket.socket) -> None:
    """A reload that is under way when the process stops does not tell systemd that it is ready."""
    reported = ServiceManager({"NOTIFY_SOCKET": manager.getsockname()})
    reported.reloading()
    reported.stopping()
    reported.ready()
    reported.reloading()
    reported.stopping()
    assert [message.partition("\n")[0] for message in _received(manager)] == ["RELOADING=1", "STOPPING=1"]


def test_an_abstract_address_is_understood() -> None:
    """An address that begins with @ stands for one without a file."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0rtcmpu-exporter-test-{os.getpid()}")
        listening.setblocking(False)
        ServiceManager({"NOTIFY_SOCKET": f"@rtcmpu-exporter-test-{os.getpid()}"}).ready()
        assert _received(listening) == ["READY=1"]


@pytest.mark.parametrize("environ", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "5", "WATCHDOG_PID": "1"}])
def test_nobody_is_reported_that_it_is_alive_unless_someone_watches(
    environ: dict[str, str], manager: socket.socket
) -> None:
    """Without a watchdog, or with another process's, there are no signs of life."""
    reported = ServiceManager({"NOTIFY_SOCKET": manager.getsockname(), **environ})
    reported.alive()
    assert reported.watchdog_seconds is None
    assert _received(manager) == []


def test_a_manager_that_is_not_there_stops_nothing(tmp_path: Path) -> None:
    """Without a manager, or with one that does not listen, telling it is nothing at all."""
    ServiceManager({}).ready()
    ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready()


def _handed_over(*sockets: socket.socket) -> int:
    """Put sockets where a manager would, one behind the other; return the first descriptor."""
    first = 100
    for place, handed in enumerate(sockets):
        os.dup2(handed.fileno(), first + place)
    return first


def test_sockets_that_are_handed_over_are_listened_on() -> None:
    """Each comes back as it was opened, and the environment does not say so to children."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        first = _handed_over(one, other)
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "web:web", "HOME": "/"}
        inherited = inherited_sockets(environ, first=first)
        assert [each.getsockname() for each in inherited] == [one.getsockname(), other.getsockname()]
        assert not any(os.get_inheritable(each.fileno()) for each in inherited)
        assert environ == {"HOME": "/"}
        for each in inherited:
            each.close()


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({}, "expected to be started by a systemd socket unit"),
        ({"LISTEN_PID": "1", "LISTEN_FDS": "1"}, "expected to be started by a systemd socket unit"),
        ({"LISTEN_PID": str(os.getpid())}, "LISTEN_FDS is ''"),
        ({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"}, "LISTEN_FDS is '0'"),
    ],
)
def test_without_sockets_the_reason_is_given(environ: dict[str, str], reason: str) -> None:
    """Nothing is listened on by mistake when nothing was handed over, or to another process."""
    with pytest.raises(ValueError, match=reason):
        inherited_sockets(environ)


def test_what_is_no_listening_socket_is_refused() -> None:
    """A datagram socket, or one that accepts nobody, is a unit that was written wrongly."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        first = _handed_over(datagrams)
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
        with pytest.raises(ValueError, match="does not listen for streams: use ListenStream="):
            inherited_sockets(environ, first=first)


def test_what_is_no_socket_at_all_is_refused(tmp_path: Path) -> None:
    """A descriptor of a file is named."""
    with (tmp_path / "file").open("wb") as file:
        os.dup2(file.fileno(), 110)
        environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
        with pytest.raises(ValueError, match="the descriptor 110 that was handed over is no socket"):
            inherited_sockets(environ, first=110)
    os.close(110)
