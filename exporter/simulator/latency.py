"""How long a message is on its way."""

from random import Random

from msgspec import Struct


class Latency(Struct, frozen=True):
    """The time of one direction: at least `one_way_seconds`, up to `jitter_seconds` more, and now and then a spike."""

    one_way_seconds: float = 0.0
    jitter_seconds: float = 0.0
    spike_rate: float = 0.0
    """The share of messages that take `spike_seconds` more."""
    spike_seconds: float = 0.0

    def sample(self, random: Random) -> float:
        """Return how many seconds the next message takes."""
        seconds = self.one_way_seconds
        if self.jitter_seconds:
            seconds += random.random() * self.jitter_seconds
        if self.spike_rate and random.random() < self.spike_rate:
            seconds += self.spike_seconds
        return seconds
