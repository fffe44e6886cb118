"""Reports on readings of an app that somebody asked for: each request, wait, repair and error."""

from msgspec import Struct

from exporter.collector.status import Sweep
from exporter.core.collection_state import State


class RequestReport(Struct, frozen=True):
    """One HTTP request of a reading."""

    number: int
    """From 1, in the order of sending."""
    asked_for: str
    """Which part of the list, or which task, in a few words."""
    attempt: int
    """1, or more where the same request was sent again."""
    sent_after_seconds: float
    """From the beginning of the reading."""
    waited_seconds: float
    """From when it was wanted, or its attempt before had ended, until it was sent: for its turn in the budget, and
    before a retry."""
    duration_seconds: float | None
    """From sending to the end of the answer; None: it is under way."""
    rows: int | None
    """None: it brought none, since it failed or is under way."""
    state: State | None
    """How it ended; None: it is under way, or was given up since the list had ended or moved."""
    reason: str = ""
    """Why it failed; empty where it did not."""


class Difference(Struct, frozen=True):
    """How a reading differs from the tasks that were known when it ended."""

    only_read: int
    """Tasks that were read and are not known: created a moment ago."""
    only_known: int
    """Tasks that are known and were not read: removed a moment ago."""
    changed: int
    """Tasks that both have, configured otherwise."""


class SweepReport(Struct, frozen=True):
    """One reading of one app, under way or ended."""

    account: str
    app_id: str
    began: float
    """Wall-clock seconds."""
    seconds: float
    """How long it has taken so far, or took."""
    requests: tuple[RequestReport, ...]
    """The first ones, in the order of sending."""
    requests_sent: int
    """How many there were, those that are left out of `requests` included."""
    ended: bool
    state: State
    """How it ended; `pending` while it is under way."""
    reason: str = ""
    """Why it failed; empty where it did not."""
    tasks: int | None = None
    """How many were found; None: it is under way, or failed."""
    sweep: Sweep | None = None
    """What repairs it took; None: it is under way, or failed."""
    difference: Difference | None = None
    """None: it is under way, or failed."""
