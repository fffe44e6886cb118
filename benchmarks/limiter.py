"""The limiter beside the usual ones: how much of the rate they use, and how much of that the service refuses.

Ten simulated minutes at 50 requests/s and a least round trip of 40 ms, sending as fast as each limiter allows.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, get_args

from benchmarks.report import show
from exporter.collector.rate_limiter import Limiter
from exporter.core.clock import Clock
from tests.support.rate_windows import EvenSpacing, Gate, Link, SendTimeLog, refused, saturate
from tests.support.shared_quota import Window
from tests.support.virtual_time import VirtualClock, run

RATE = 50
SECONDS = 600
SENDERS = 40
SEED = 1

JITTERS_AND_SPIKES_SECONDS = ((0.0, 0.0), (0.025, 0.0), (0.05, 0.0), (0.025, 1.0))


class Row(NamedTuple):
    """What one limiter did on one network."""

    jitter: str
    limiter: str
    used_percent: float
    refused: Mapping[Window, int]  # by the kind of window that the service counts in


def rows() -> Iterator[Row]:
    """Simulate every limiter on every network; every kind of window evaluates the same arrivals."""
    for jitter_seconds, spike_seconds in JITTERS_AND_SPIKES_SECONDS:
        jitter = f"{jitter_seconds * 1000:g} ms" + (", spikes" if spike_seconds else "")
        for name, limiter in _LIMITERS:
            arrivals = _arrivals(limiter, jitter_seconds=jitter_seconds, spike_seconds=spike_seconds)
            used_percent = 100 * sum(arrival < SECONDS for arrival in arrivals) / (RATE * SECONDS)
            yield Row(jitter, name, used_percent, refused(arrivals, RATE))


def main() -> None:
    """Print the table."""
    show(
        f"Rate limiters at {RATE} requests/s: sent, and refused of {RATE * SECONDS:,} by window",
        ("jitter each way", "limiter", "used %", *get_args(Window)),
        [
            (row.jitter, row.limiter, f"{row.used_percent:.1f}", *(f"{count:,}" for count in row.refused.values()))
            for row in rows()
        ],
    )


def _ours(clock: Clock) -> Gate:
    """Return the limiter that the exporter uses."""
    return Limiter(RATE, clock=clock)


def _even_spacing(clock: Clock) -> Gate:
    """Return one that sends at even intervals."""
    return EvenSpacing(RATE, clock=clock)


def _send_time_log(clock: Clock) -> Gate:
    """Return one that counts what it sent in the last second."""
    return SendTimeLog(RATE, clock=clock)


_LIMITERS = (("ours", _ours), ("even spacing", _even_spacing), ("log of send times", _send_time_log))


def _arrivals(limiter: Callable[[Clock], Gate], *, jitter_seconds: float, spike_seconds: float) -> list[float]:
    """Simulate one limiter on one network and return when its requests reached the service."""
    link = Link(SEED, jitter_seconds=jitter_seconds, spike_seconds=spike_seconds)

    async def simulate() -> None:
        clock = VirtualClock()
        await saturate(limiter(clock), link, clock=clock, seconds=SECONDS, senders=SENDERS)

    run(simulate())
    return link.arrivals


if __name__ == "__main__":
    main()
