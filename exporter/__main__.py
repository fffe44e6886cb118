"""The program's entry point: it handles signals first, since what a command imports takes up to two seconds."""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

DAEMONS = frozenset({"serve", "demo", "simulate"})  # they run until a signal, and then end with exit code 0


def main() -> int:
    """Run the program; returns its exit code."""
    handle_signals(sys.argv[1:])
    open_streams()
    for name in ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"):
        os.environ.pop(name, None)  # of other programs: prometheus_client would keep all values in files there
    from exporter.cli import main as run

    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a command that runs once may clean up
    return run()


def handle_signals(words: Sequence[str]) -> None:
    """Handle signals until the command does.

    PID 1 of a container needs a handler for SIGTERM: without one the kernel drops the signal. `serve` ignores SIGHUP
    until it reads its configuration, which it has yet to do. Ctrl-C prints no traceback of an import.
    """
    command = words[0] if words and not words[0].startswith("-") else "serve"

    def end(number: int, _: FrameType | None) -> None:
        if command not in DAEMONS:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)  # PID 1 survives it
            os._exit(128 + number)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # ignored in a background job of a script
        signal.signal(signal.SIGINT, end if command in DAEMONS else signal.SIG_DFL)
    if command == "serve":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def open_streams() -> None:
    """Let closed standard streams be /dev/null: libuv aborts the process if their numbers go to other files."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


if __name__ == "__main__":
    sys.exit(main())
