"""Running sums over the tasks of one app, kept up to date by each task that comes, changes or goes."""

from collections.abc import Iterator, Mapping
from itertools import accumulate

from exporter.config.model import Buckets
from exporter.metrics.contribution import COUNTS, EGRESS, MEASURES, contribute_by
from exporter.metrics.family import Distribution, LabelValues
from exporter.task import Configuration


class Aggregates:
    """Integer sums over a multiset of configurations.

    Adding and removing cost a few dictionary increments each. The sums depend on what is in the multiset
    alone, not on the way there: a rebuild from the same tasks is the same to the last digit.
    """

    def __init__(self, buckets: Buckets) -> None:
        self.buckets = buckets
        self.revision = 0
        """Another number after each change."""
        self._contribute = contribute_by(buckets)
        self._measures = {measure.name: (measure.bounds(buckets), measure.amounts_per_unit) for measure in MEASURES}
        self._counts: dict[str, dict[LabelValues, int]] = {name: {} for name in COUNTS}
        sizes = {name: len(bounds) for name, (bounds, _) in self._measures.items()} | {EGRESS: 0}
        # The number of values, their sum, and how many fall below, between and above the bounds.
        self._empty_cells = {name: [0] * (3 + bounds) for name, bounds in sizes.items()}
        self._cells: dict[str, dict[LabelValues, list[int]]] = {name: {} for name in sizes}

    def add(self, configuration: Configuration) -> None:
        """Count one more task that is set up like this."""
        self._apply(configuration, 1)

    def remove(self, configuration: Configuration) -> None:
        """Count one task less that is set up like this; it must have been added."""
        self._apply(configuration, -1)

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
            and self._counts == other._counts  # noqa: SLF001 - its own class
            and self._cells == other._cells  # noqa: SLF001 - its own class
        )

    def _apply(self, configuration: Configuration, sign: int) -> None:
        """Add the contribution, or take it away."""
        self.revision += 1
        contribution = self._contribute(configuration)
        for name, where, count in contribution.counts:
            counts = self._counts[name]
            now = counts.get(where, 0) + sign * count
            if now:
                counts[where] = now
            else:
                del counts[where]
        for name, where, place, amount in contribution.amounts:
            cells = self._cells[name]
            cell = cells.get(where)
            if cell is None:
                cell = cells[where] = self._empty_cells[name].copy()
            cell[0] += sign
            cell[1] += sign * amount
            cell[2 + place] += sign
            if not cell[0]:
                del cells[where]
