"""Runs all tasks of the exporter, so that an exception in one part is counted and logged, and ends nothing else."""

import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, NoReturn

import structlog

from exporter.collector.collector import Collector
from exporter.collector.status import Kind
from exporter.core.clock import Clock
from exporter.core.collection_state import Component

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 60.0
"""Between two failures of what should always run. It is counted as working once it has run for that long."""
MOST_FRAMES: Final = 20
MOST_CHARACTERS: Final = 8000

App = tuple[str, str]  # account and AppId
NO_APP: Final[App] = ("", "")

_SPEAK_OF_CODE: Final = (
    TypeError,
    AttributeError,
    NameError,
    ImportError,
    RuntimeError,
    AssertionError,
    MemoryError,
    OSError,
)
"""What other exceptions say can quote what the service sent, which must not be logged."""


class Supervisor:
    """Keeps failures where they happen."""

    def __init__(self, count: Callable[[Component], None], clock: Clock) -> None:
        self._count = count
        self._clock = clock
        self._failing: dict[tuple[Component, App], tuple[str, ...]] = {}
        """Where each part failed last; one that works is not in it."""

    async def attempt(self, collector: Collector, kind: Kind) -> None:
        """Update or sweep one app. Whatever goes wrong is in its status afterwards."""
        part = Component(kind.value)
        try:
            await (collector.sweep() if kind is Kind.SWEEP else collector.update())
        except Exception as error:  # noqa: BLE001 - whatever it was: it concerns this app alone
            self.app_failed(collector, part, error)
        else:
            self.app_works(collector, part)

    def app_failed(self, collector: Collector, part: Component, error: Exception) -> None:
        """Let an app have the state of a part that failed."""
        reason = self.failed(part, error, collector.key)
        with suppress(Exception):  # it has been reported, and publishing may be what fails
            collector.broke(part, reason)

    def app_works(self, collector: Collector, part: Component) -> None:
        """Let an app have its other state again, if the part failed before."""
        app = collector.key
        if self.works(part, app):
            with self.guarded(part, app):
                collector.recovered(part)

    async def keep_running(self, part: Component, run: Callable[[], Awaitable[None]]) -> NoReturn:
        """Run what should never end, and begin again after a pause when it does."""
        pause_seconds = FIRST_PAUSE_SECONDS
        while True:
            began = self._clock.monotonic()
            try:
                await run()
                raise RuntimeError(f"{part} ended, and should not")  # noqa: TRY301 - it is a failure like others
            except Exception as error:  # noqa: BLE001 - whatever it was: everything else continues
                if self._clock.monotonic() - began > LONGEST_PAUSE_SECONDS:
                    pause_seconds = FIRST_PAUSE_SECONDS
                    self.works(part)
                self.failed(part, error)
            await self._clock.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)

    @contextmanager
    def guarded(self, part: Component, app: App = NO_APP) -> Iterator[None]:
        """Let a block fail by itself."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it was: everything else continues
            self.failed(part, error, app)
        else:
            self.works(part, app)

    def failed(self, part: Component, error: BaseException, app: App = NO_APP) -> str:
        """Count a failure, log it the first time, and return one line for people."""
        self._count(part)
        frames = traceback.extract_tb(error.__traceback__, limit=-1)
        place = f" at {'/'.join(frames[0].filename.split('/')[-2:])}:{frames[0].lineno}" if frames else ""
        reason = f"internal error: {type(error).__name__}{place}; see the exporter's log, and please report it"
        failure = (type(error).__name__, place)
        if self._failing.get((part, app)) != failure:
            self._failing[part, app] = failure
            account, app_id = app
            about = {"account": account, "app_id": app_id} if app != NO_APP else {}
            structlog.get_logger().error("internal error", part=part.value, **about, exception=written(error))
        return reason

    def works(self, part: Component, app: App = NO_APP) -> bool:
        """Note that a part works; return whether it failed before."""
        return self._failing.pop((part, app), None) is not None

    def forget(self, app: App) -> None:
        """Forget an app that is no longer configured."""
        for part in Component:
            self._failing.pop((part, app), None)


def written(error: BaseException) -> str:
    """Return the traceback of an exception and of what led to it, within bounds and without foreign content."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain and len(chain) < MOST_FRAMES:
        chain.append(cause)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    parts = []
    for each in reversed(chain):
        frames = "".join(traceback.format_tb(each.__traceback__, limit=-MOST_FRAMES))
        said = f": {each}" if isinstance(each, _SPEAK_OF_CODE) else ""
        parts.append(f"{frames}{type(each).__name__}{said}")
    return "\n".join(parts)[-MOST_CHARACTERS:]
