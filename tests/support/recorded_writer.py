"""A writer of a database, and what it reports."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from exporter.core.clock import SystemClock
from exporter.storage.writer import Writer
from tests.support.monitored import until

RETENTION_SECONDS = 1e12  # the batches of tests are of 1970


class RecordedWriter:
    """A writer, and what it reports."""

    def __init__(self, url: Callable[[], str]) -> None:
        self.incomplete: list[tuple[str, str] | None] = []
        self.bugs: list[Exception] = []
        self.writer = Writer(
            url,
            SystemClock(),
            retention_seconds=RETENTION_SECONDS,
            configured=[("prod", "live")],
            incomplete=self.incomplete.append,
            older=lambda _: None,
            failed=self.bugs.append,
        )

    async def has_written(self) -> None:
        """Wait until nothing waits."""
        await until(lambda: self.writer.up and self.writer.lag_seconds == 0)


@asynccontextmanager
async def writing(url: Callable[[], str]) -> AsyncIterator[RecordedWriter]:
    """Run a writer, and end it; a test takes the bugs that it expects."""
    one = RecordedWriter(url)
    await one.writer.start(30.0)
    try:
        yield one
    finally:
        await one.writer.close(30.0)
    assert one.bugs == []
