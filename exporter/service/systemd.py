"""What systemd gets to know about the process, and what it hands over: readiness, the watchdog, listening sockets.

By the protocols of sd_notify(3) and sd_listen_fds(3): datagrams to the socket that an environment variable names, and
file descriptors from 3 on. Without that environment nothing is sent and nothing is there.
"""

import os
import socket
import time
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Final

from exporter.config.mistakes import UsageError

FIRST_DESCRIPTOR: Final = 3
_ABSTRACT: Final = "@"


class ServiceManager:
    """Reports the state to the service manager, if there is one.

    Args:
        environ: Has `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith(_ABSTRACT):
            self._address = "\0" + self._address[1:]
        self.watchdog_seconds = _watchdog_seconds(environ)
        """Within so long it wants to hear that the process is alive; None: it does not watch."""
        self._is_stopping = False

    def ready(self) -> None:
        """Say that requests are answered, unless the process ends."""
        if not self._is_stopping:
            self._send("READY=1")

    def reloading(self) -> None:
        """Say that the configuration is loaded again; `ready` ends that."""
        if not self._is_stopping:
            self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Say that the process ends, once."""
        if not self._is_stopping:
            self._is_stopping = True
            self._send("STOPPING=1")

    def alive(self) -> None:
        """Say that the process does what it should, where anyone watches."""
        if self.watchdog_seconds is not None:
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notifying:
                notifying.setblocking(False)
                notifying.connect(self._address)
                notifying.send(message.encode())
        except OSError:
            # A manager that does not listen must not stop the work; its own timeouts report it.
            return


def inherited_sockets(environ: MutableMapping[str, str], *, first: int = FIRST_DESCRIPTOR) -> Sequence[socket.socket]:
    """Return the listening sockets that the service manager opened, and take them out of the environment.

    Args:
        environ: Has `LISTEN_FDS` and `LISTEN_PID`.
        first: The first descriptor.

    Raises:
        UsageError: There are none, or one of them does not listen for streams.
    """
    if environ.pop("LISTEN_PID", "") != str(os.getpid()):
        raise UsageError("no sockets were handed over: expected to be started by a systemd socket unit")
    number = environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if not number.isdigit() or int(number) == 0:
        raise UsageError(f"no sockets were handed over: LISTEN_FDS is {number!r}")
    return [_listening(descriptor) for descriptor in range(first, first + int(number))]


def _listening(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    try:
        inherited = socket.socket(fileno=descriptor)
        listens = inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise UsageError(f"the descriptor {descriptor} that was handed over is no socket") from error
    if inherited.type != socket.SOCK_STREAM or not listens:
        inherited.close()
        raise UsageError(
            f"the socket {descriptor} that was handed over does not listen for streams:"
            " use ListenStream= with Accept=no"
        )
    return inherited


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    pid, microseconds = environ.get("WATCHDOG_PID", ""), environ.get("WATCHDOG_USEC", "")
    if not microseconds.isdigit() or int(microseconds) == 0 or pid not in {"", str(os.getpid())}:
        return None
    return int(microseconds) / 1_000_000
