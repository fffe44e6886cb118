"""Runs `serve`, and writes how many tasks its event loop has on SIGUSR1: `python -m benchmarks.soak.served`."""

import asyncio
import signal
import sys
from types import FrameType

from exporter import cli


def _tell(_number: int, _frame: FrameType | None) -> None:
    """Write a line to the log."""
    sys.stderr.write(f"tasks={len(asyncio.all_tasks())}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _tell)
    sys.exit(cli.main())
