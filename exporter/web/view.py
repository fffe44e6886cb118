"""What the web side is given to show: a read-only view of the daemon that answers at once."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from exporter.collect.history import RecordedChange
from exporter.collect.status import Status
from exporter.metrics.exposition import Body
from exporter.metrics.formats import Format


class AppView(Struct, frozen=True):
    """One app as it is shown."""

    status: Status
    tasks: Mapping[tuple[str, str], int] | None
    """Number of tasks by (task_region, mix_mode); None while there is no data or it is withdrawn."""


class View(Protocol):
    """What every request is answered from. Nothing here waits, and nothing here raises."""

    def statuses(self) -> Sequence[AppView]:
        """Return all configured apps, in the order of the configuration."""

    def metrics(self, exposition_format: Format, *, gzip: bool) -> Body:
        """Return the ready bytes of the exposition."""

    def task_metrics(self, exposition_format: Format, *, gzip: bool) -> Body | None:
        """Return the ready bytes of the exposition of single tasks; None while it is switched off."""

    def changes(self) -> Iterator[RecordedChange]:
        """Return the remembered changes of all apps, newest first."""

    def changes_remembered_since(self) -> float:
        """Return a time, in seconds since 1970, after which no change has been forgotten."""

    def ready(self) -> str | None:
        """Return why the exporter is not ready to be relied upon; None when it is."""

    def healthy(self) -> str | None:
        """Return why the process should be restarted; None when it should not."""

    def redacted_config(self) -> str:
        """Return the configuration in force as YAML, with `<secret>` for each secret."""

    def request_finished(self, path_template: str, code: int) -> None:
        """Take note of an answered request, for the exporter's own metrics."""
