"""Running sums over the tasks of one app, kept up to date by each task that comes, changes or goes."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, chain, repeat
from typing import Final, TypeAlias

from msgspec import Struct, field

from exporter.collector.status import Status
from exporter.collector.task_diff import ChangeCounts
from exporter.config.model import Buckets
from exporter.core.clock import Deadlines
from exporter.core.push_auth import DEFAULTS, Expiry, PushAuthSettings
from exporter.core.task import MIXED, Configuration, Encoding, Output, pixels, signed_times
from exporter.metrics import labels
from exporter.metrics.family import Distribution, LabelValues
from exporter.rules.findings import PolicyReport

BYTES_PER_KILOBIT: Final = 125
NANOSECONDS: Final = 1_000_000_000
REMEMBERED_CONFIGURATIONS: Final = 2048

COUNTS: Final = (
    "tasks",
    "outputs",
    "hosts",
    "by_video",
    "by_audio",
    "by_source",
    "by_billing_tier",
    "without_idle_timeout",
    "field_errors",
    "unknown_values",
)
"""The numbers of tasks, outputs or values, by label values."""

EGRESS: Final = "egress"
"""Bytes per second by region and cdn: a distribution without bounds, since only its sum is used."""


class Measure(Struct, frozen=True):
    """A quantity whose distribution is published, by region and mode."""

    name: str  # how the names of its families end
    read: Callable[[Configuration], int | None]  # the amount; None where the task has no such readable number
    buckets: str  # the field of `Buckets` with the upper bounds
    base_units: int = 1  # how many base units are one unit of the bounds
    amounts_per_unit: int = 1  # how many of `read`'s steps make one base unit

    def bounds(self, buckets: Buckets) -> tuple[float, ...]:
        """Return the upper bounds in the base unit."""
        return tuple(bound * self.base_units for bound in getattr(buckets, self.buckets))


class Contribution(Struct, frozen=True, gc=False):
    """What one task adds."""

    counts: tuple[tuple[str, LabelValues, int], ...]  # one of `COUNTS`, the label values, how many
    amounts: tuple[tuple[str, LabelValues, int, int], ...]
    """A measure's name or `EGRESS`, the label values, the place among the bounds, the amount."""


Contribute: TypeAlias = Callable[[Configuration], Contribution]


@lru_cache(maxsize=4)
def contribute_by(buckets: Buckets) -> Contribute:
    """Return the function that finds a configuration's contribution, with one memory for equal buckets."""
    bounds = {
        measure.name: tuple(bound * measure.amounts_per_unit for bound in measure.bounds(buckets))
        for measure in MEASURES
    }

    @lru_cache(maxsize=REMEMBERED_CONFIGURATIONS)
    def contribute(configuration: Configuration) -> Contribution:
        return Contribution(
            tuple(_counts(configuration)), (*_distributed(configuration, bounds), *_egress(configuration))
        )

    return contribute


def _counts(configuration: Configuration) -> Iterator[tuple[str, LabelValues, int]]:
    region = labels.task_region(configuration)
    yield "tasks", (region, labels.mix_mode(configuration)), 1
    yield "by_billing_tier", (labels.billing_tier(configuration),), 1
    if (video := labels.video(configuration)) is not None:
        yield "by_video", video, 1
    if (audio := labels.audio(configuration)) is not None:
        yield "by_audio", audio, 1
    if configuration.source is not None:
        yield "by_source", labels.source(configuration.source), 1
    if configuration.idle_timeout_seconds is None and "MaxIdleTime" not in configuration.field_errors:
        yield "without_idle_timeout", (region,), 1
    for output in configuration.outputs:
        yield "outputs", (labels.cdn(output), labels.scheme(output)), 1
        yield "hosts", (output.host or labels.OTHER,), 1
    for name in configuration.field_errors:
        yield "field_errors", (name,), 1
    for name in configuration.unknown_values:
        yield "unknown_values", (name,), 1


def _distributed(
    configuration: Configuration, bounds: dict[str, tuple[float, ...]]
) -> Iterator[tuple[str, LabelValues, int, int]]:
    where = (labels.task_region(configuration), labels.mix_mode(configuration))
    for measure in MEASURES:
        amount = measure.read(configuration)
        if amount is not None and amount >= 0:
            yield measure.name, where, bisect_left(bounds[measure.name], amount), amount


def _egress(configuration: Configuration) -> Iterator[tuple[str, LabelValues, int, int]]:
    encoding = configuration.encoding
    if configuration.mix_mode != MIXED or encoding is None:
        return
    bitrates = (encoding.video.bitrate_kbps, encoding.audio.bitrate_kbps)
    readable_kbps = [bitrate for bitrate in bitrates if bitrate is not None and bitrate >= 0]
    if readable_kbps:
        region = labels.task_region(configuration)
        for output in configuration.outputs:
            yield EGRESS, (region, labels.cdn(output)), 0, sum(readable_kbps) * BYTES_PER_KILOBIT


def of_encoding(read: Callable[[Encoding], int | None], times: int = 1) -> Callable[[Configuration], int | None]:
    """Return a reader of a number that is in EncodeParams."""

    def number(configuration: Configuration) -> int | None:
        found = None if configuration.encoding is None else read(configuration.encoding)
        return None if found is None else found * times

    return number


def _gop_nanoseconds(encoding: Encoding) -> int | None:
    gop, framerate = encoding.video.gop, encoding.video.framerate
    if gop is None or framerate is None or framerate <= 0:
        return None
    return (2 * gop * NANOSECONDS + framerate) // (2 * framerate)


def _panes(configuration: Configuration) -> int | None:
    unreadable = not {"Layout", "UserPanes"}.isdisjoint(configuration.field_errors)
    return None if unreadable or labels.video(configuration) is None else len(configuration.panes)


def _users(configuration: Configuration) -> int | None:
    """Return how many users are listed; none are every user of the channel, which is no number."""
    return None if "UserInfos" in configuration.field_errors else configuration.users or None


_VIDEO_BITRATE: Final = of_encoding(lambda encoding: encoding.video.bitrate_kbps, BYTES_PER_KILOBIT)
_AUDIO_BITRATE: Final = of_encoding(lambda encoding: encoding.audio.bitrate_kbps, BYTES_PER_KILOBIT)
_PIXELS: Final = of_encoding(lambda encoding: pixels(encoding.video.width, encoding.video.height))

MEASURES: Final = (
    Measure("video_bitrate_bytes_per_second", _VIDEO_BITRATE, "video_bitrate_kbps", base_units=BYTES_PER_KILOBIT),
    Measure("audio_bitrate_bytes_per_second", _AUDIO_BITRATE, "audio_bitrate_kbps", base_units=BYTES_PER_KILOBIT),
    Measure("video_framerate_hertz", of_encoding(lambda encoding: encoding.video.framerate), "video_framerate"),
    Measure("gop_duration_seconds", of_encoding(_gop_nanoseconds), "gop_seconds", amounts_per_unit=NANOSECONDS),
    Measure("frame_pixels", _PIXELS, "frame_pixels"),
    Measure("idle_timeout_seconds", lambda configuration: configuration.idle_timeout_seconds, "idle_timeout_seconds"),
    Measure("panes", _panes, "panes"),
    Measure("users", _users, "users"),
)


class PushAuthCounts:
    """Counts of outputs by signer and state at a wall-clock time; the settings say how times are read."""

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
        due = list(self._outputs if now < self._now else self._changes.take_due(now))  # all after a step of the clock
        for expiry in due:
            self._count(expiry, -self._outputs[expiry])
        self._now = now
        for expiry in due:
            self._count(expiry, self._outputs[expiry])
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
        where = (expiry.signer, self.settings.state(expiry, self._now))
        self._states[where] += number
        if not self._states[where]:
            del self._states[where]

    def _watch(self, expiry: Expiry, *, is_there: bool) -> None:
        if not expiry.state:
            self._changes.set(expiry, self.settings.next_change(expiry, self._now) if is_there else None)
            expiries = self._expiries.setdefault(expiry.signer, Deadlines())
            expiries.set(expiry, expiry.at if is_there and expiry.at > self._now else None)


class Aggregates:
    """Integer sums over a multiset of tasks, whatever way it came about, and what the time makes of their push keys."""

    def __init__(self, buckets: Buckets, push_auth: PushAuthSettings = DEFAULTS, now: float = 0.0) -> None:
        self.buckets = buckets
        self.revision = 0  # another number after each change
        self.push_auth = PushAuthCounts(push_auth, now)
        self._contribute = contribute_by(buckets)
        self._measures = {measure.name: (measure.bounds(buckets), measure.amounts_per_unit) for measure in MEASURES}
        self._counts: dict[str, dict[LabelValues, int]] = {name: {} for name in COUNTS}
        sizes = {name: len(bounds) for name, (bounds, _) in self._measures.items()} | {EGRESS: 0}
        # The number of values, their sum, and how many fall below, between and above the bounds.
        self._empty_cells = {name: [0] * (3 + bounds) for name, bounds in sizes.items()}
        self._cells: dict[str, dict[LabelValues, list[int]]] = {name: {} for name in sizes}

    def add(self, configuration: Configuration, signed_times: Sequence[int] = ()) -> None:
        """Count one more task that is set up like this."""
        self._apply(configuration, 1)
        self.push_auth.apply(configuration.outputs, signed_times, 1)

    def add_all(self, tasks: Iterable[tuple[Configuration, bytes]]) -> None:
        """Count more tasks, given by configuration and `Task.push_times`; those that are set up alike together."""
        shared: dict[int, Configuration] = {}
        numbers: Counter[tuple[int, bytes]] = Counter()
        for configuration, push_times in tasks:
            shared[id(configuration)] = configuration
            numbers[id(configuration), push_times] += 1
        by_configuration: Counter[int] = Counter()
        for (identity, push_times), number in numbers.items():
            by_configuration[identity] += number
            self.push_auth.apply(shared[identity].outputs, signed_times(push_times), number)
        for identity, number in by_configuration.items():
            self._apply(shared[identity], number)

    def remove(self, configuration: Configuration, signed_times: Sequence[int] = ()) -> None:
        """Count one task less that is set up like this; it must have been added."""
        self._apply(configuration, -1)
        self.push_auth.apply(configuration.outputs, signed_times, -1)

    def advance(self, now: float) -> bool:
        """Move on to a time in wall-clock seconds, and return whether a push key has another state now."""
        changed = self.push_auth.advance(now)
        self.revision += changed
        return changed

    def counts(self, name: str) -> Mapping[LabelValues, int]:
        """Return one of `COUNTS` by label values; what is 0 is not in it."""
        return self._counts[name]

    def distributions(self, name: str) -> Iterator[tuple[LabelValues, Distribution]]:
        """Yield the distribution of one measure for each region and mode that has any."""
        bounds, amounts_per_unit = self._measures[name]
        for where, (_, total, *counts) in self._cells[name].items():
            yield where, Distribution(bounds, tuple(accumulate(counts)), total / amounts_per_unit)

    def egress_bytes_per_second(self) -> Iterator[tuple[LabelValues, int]]:
        """Yield the sum by region and cdn where at least one task has a share in it."""
        for where, (_, total, *_) in self._cells[EGRESS].items():
            yield where, total

    def same_as(self, other: "Aggregates") -> bool:
        """Whether both say the same about every label: what a rebuild is compared by."""
        return (
            self.buckets == other.buckets
            and self.push_auth.same_as(other.push_auth)
            and self._counts == other._counts  # noqa: SLF001 - its own class
            and self._cells == other._cells  # noqa: SLF001 - its own class
        )

    def _apply(self, configuration: Configuration, tasks: int) -> None:
        self.revision += 1
        contribution = self._contribute(configuration)
        for name, where, count in contribution.counts:
            counts = self._counts[name]
            now = counts.get(where, 0) + tasks * count
            if now:
                counts[where] = now
            else:
                del counts[where]
        for name, where, place, amount in contribution.amounts:
            cells = self._cells[name]
            cell = cells.get(where)
            if cell is None:
                cell = cells[where] = self._empty_cells[name].copy()
            cell[0] += tasks
            cell[1] += tasks * amount
            cell[2 + place] += tasks
            if not cell[0]:
                del cells[where]


class AppReport(Struct, frozen=True):
    """Everything that the families about one app are computed from."""

    status: Status
    aggregates: Aggregates | None  # none while there is no data, or while it is withdrawn
    changes: ChangeCounts = field(default_factory=ChangeCounts)  # since the baseline
    policy: PolicyReport | None = None
    """As of the last evaluation, also while the data is withdrawn; None: there was none yet."""
