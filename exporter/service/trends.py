"""Number of tasks and violations of the last hours, kept in memory for small charts on pages."""

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from exporter.core.clock import Clock
from exporter.rules.finding_events import AppKey
from exporter.web.view import AppView, Trend

SAMPLE_SECONDS: Final = 60.0
MOST_SAMPLES: Final = 360
ALL_APPS: Final = ("", "")
_UNKNOWN: Final = -1


class Trends:
    """Samples all apps once a minute; 6 hours of one app take 3 KiB.

    Args:
        statuses: Returns all apps.
        violations: Returns the number of violations of an app; None: not known.
        clock: Paces the samples.
    """

    def __init__(
        self, statuses: Callable[[], Iterable[AppView]], violations: Callable[[AppKey], int | None], clock: Clock
    ) -> None:
        self._statuses = statuses
        self._violations = violations
        self._clock = clock
        self._samples: dict[AppKey, tuple[array[int], array[int]]] = {}

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            self.sample()
            await self._clock.sleep(SAMPLE_SECONDS)

    def sample(self) -> None:
        """Add one sample of each app, and of all apps together; forget apps that are gone."""
        now: dict[AppKey, tuple[int | None, int | None]] = {}
        for app in self._statuses():
            key = (app.status.account, app.status.app_id)
            now[key] = (None, None) if app.tasks is None else (sum(app.tasks.values()), self._violations(key))
        now[ALL_APPS] = _sum(tasks for tasks, _ in now.values()), _sum(count for _, count in now.values())
        self._samples = {key: self._samples.get(key) or (array("i"), array("i")) for key in now}
        for key, counts in now.items():
            for samples, count in zip(self._samples[key], counts, strict=True):
                samples.append(_UNKNOWN if count is None else count)
                del samples[:-MOST_SAMPLES]

    def of(self, account: str = "", app_id: str = "") -> Trend:
        """Return the samples of one app, or of all together."""
        tasks, violations = self._samples.get((account, app_id), ((), ()))
        return Trend(SAMPLE_SECONDS, _known(tasks), _known(violations))


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _known(samples: Iterable[int]) -> Sequence[int | None]:
    return [None if count == _UNKNOWN else count for count in samples]
