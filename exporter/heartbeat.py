"""Tells whether the event loop beats, and how late."""

from exporter.clock import Clock

SILENCE_SECONDS = 15.0
"""A loop that has not beaten for so long is taken for stuck."""


class Heartbeat:
    """Beats about once a second; anyone may look how long ago that was, from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = clock.monotonic()

    async def beat(self, seconds: float) -> float:
        """Wait; return how much later than asked for the loop came back, in seconds."""
        began = self._clock.monotonic()
        await self._clock.sleep(seconds)
        self._last = self._clock.monotonic()
        return max(0.0, self._last - began - seconds)

    @property
    def silent_seconds(self) -> float:
        """Seconds since the last beat."""
        return self._clock.monotonic() - self._last
