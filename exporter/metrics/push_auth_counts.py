"""How many outputs have push keys that are valid, expire or have expired, kept up to date as time passes."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, repeat

from exporter.core.clock import Deadlines
from exporter.core.push_auth import Expiry, PushAuthSettings
from exporter.core.task import Output
from exporter.metrics.family import LabelValues


class PushAuthCounts:
    """Counts of outputs by signer and state.

    Args:
        settings: How times are read.
        now: Wall-clock seconds.
    """

    def __init__(self, settings: PushAuthSettings, now: float) -> None:
        self.settings = settings
        self._now = now
        self._outputs: Counter[Expiry] = Counter()
        self._states: Counter[LabelValues] = Counter()
        self._changes: Deadlines[Expiry] = Deadlines()
        self._expiries: dict[str, Deadlines[Expiry]] = {}

    def apply(self, outputs: Sequence[Output], times: Sequence[int], tasks: int) -> None:
        """Count the outputs of this many more tasks, or (below 0) of fewer."""
        for output, time in zip(outputs, chain(times, repeat(0)), strict=False):
            expiry = self.settings.expiry(output.signer, output.host, time)
            self._outputs[expiry] += tasks
            self._count(expiry, tasks)
            if self._outputs[expiry] == 0:
                del self._outputs[expiry]
                self._watch(expiry, is_there=False)
            elif self._outputs[expiry] == tasks:
                self._watch(expiry, is_there=True)

    def advance(self, now: float) -> bool:
        """Move on to a time, and return whether a state is another one now."""
        if now < self._now:  # a step of the clock
            self._now = now
            self._states.clear()
            for expiry, number in self._outputs.items():
                self._count(expiry, number)
                self._watch(expiry, is_there=True)
            return True
        due = [(expiry, self.settings.state(expiry, self._now)) for expiry in self._changes.take_due(now)]
        self._now = now
        for expiry, state in due:
            number = self._outputs[expiry]
            self._add((expiry.signer, state), -number)
            self._count(expiry, number)
            self._watch(expiry, is_there=True)
        return bool(due)

    def states(self) -> Mapping[LabelValues, int]:
        """Return the number of outputs by signer and state; what is 0 is not in it."""
        return self._states

    def next_expiries(self) -> Iterator[tuple[LabelValues, float]]:
        """Yield the earliest expiry that is not past, by signer."""
        for signer, expiries in self._expiries.items():
            for _ in expiries.take_due(self._now):
                pass
            if (at := expiries.first()) is not None:
                yield (signer,), at

    def same_as(self, other: "PushAuthCounts") -> bool:
        """Whether both count the same outputs, though perhaps at different times."""
        return self.settings == other.settings and self._outputs == other._outputs  # noqa: SLF001 - its own class

    def _count(self, expiry: Expiry, number: int) -> None:
        self._add((expiry.signer, self.settings.state(expiry, self._now)), number)

    def _add(self, labels: LabelValues, number: int) -> None:
        self._states[labels] += number
        if not self._states[labels]:
            del self._states[labels]

    def _watch(self, expiry: Expiry, *, is_there: bool) -> None:
        if not expiry.state:
            self._changes.set(expiry, self.settings.next_change(expiry, self._now) if is_there else None)
            expiries = self._expiries.setdefault(expiry.signer, Deadlines())
            expiries.set(expiry, expiry.at if is_there and expiry.at > self._now else None)
