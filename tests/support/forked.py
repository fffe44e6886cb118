"""The program forked from a process that has imported it: it starts in a few milliseconds instead of a second."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from pkgutil import iter_modules
from unittest.mock import patch

from exporter.__main__ import main
from exporter.collector.rate_limiter import Limiter

_COMMANDS = iter_modules([str(Path(__file__).parent.parent.parent / "exporter" / "commands")])
forkserver.set_forkserver_preload(
    [__name__, "exporter.cli", *(f"exporter.commands.{module.name}" for module in _COMMANDS)]
)


class Forked(ForkServerProcess):
    """A run of the program, to be handled as one of `subprocess.Popen`.

    `waits_a_window`: whether its first request waits for the second that may belong to a process before it.
    """

    def __init__(
        self,
        words: Sequence[str],
        *,
        out: Path,
        err: Path,
        directory: Path,
        env: Mapping[str, str],
        waits_a_window: bool = False,
    ) -> None:
        for path in (out, err):  # of an earlier run they may have content
            path.write_bytes(b"")
        _start_server(env)
        super().__init__(target=_run, args=(words, out, err, directory, dict(env), waits_a_window), daemon=True)
        self.start()

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        return self.exitcode

    def wait(self, timeout: float) -> int:
        """Wait for the exit code; what takes longer is ended."""
        self.join(timeout)
        if self.exitcode is None:
            self.kill()
            raise subprocess.TimeoutExpired(self.name, timeout)
        return self.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.pid is not None
        os.kill(self.pid, number)


def _start_server(env: Mapping[str, str]) -> None:
    """Start the process that is forked, unless it runs, with nothing of the user's in its environment either."""
    with patch.dict(os.environ, env, clear=True):
        forkserver.ensure_running()


def _run(
    words: Sequence[str], out: Path, err: Path, directory: Path, env: Mapping[str, str], waits_a_window: bool
) -> None:
    """Run the program as `python -m exporter` does."""
    gc.freeze()  # what all runs share: each of their garbage collections would look through it, and copy it
    if not waits_a_window:
        patch.object(Limiter, "wait_a_window", lambda _limiter: None).start()
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(env)
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY), number)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - stays open to the end
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    sys.argv = ["exporter", *words]
    sys.exit(main())
