"""Time as a value that is passed in: the real one here, a simulated one in tests and benchmarks."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What anything that waits or dates something is given."""

    def now(self) -> float:
        """Wall-clock time, in seconds since 1970; it may jump."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; it never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Return after about `seconds`, perhaps a little early or late: look at the clock again."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Wall-clock time, in seconds since 1970."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep on the running event loop."""
        await asyncio.sleep(seconds)
