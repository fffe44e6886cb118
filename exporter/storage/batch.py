"""What an app's readings bring for the database until it is written."""

import secrets
from collections.abc import Sequence
from functools import partial
from typing import TypeAlias

from msgspec import Struct, field

from exporter.collector.inventory import Change, Entry
from exporter.collector.past import RuleVersion
from exporter.collector.status import Sweep
from exporter.core.push_auth import DEFAULTS, PushAuthSettings

AppKey: TypeAlias = tuple[str, str]  # account and AppId


class NoticedChange(Struct, frozen=True):
    """A change of a task. Times are Unix times."""

    change: Change
    noticed: float
    earliest: float | None
    """It happened between this and `noticed`, if it may have happened before this process; else None."""
    notes: tuple[str, ...] = ()


class ViolationEvent(Struct, frozen=True):
    """A violation that opened, or ended."""

    version: RuleVersion
    task_id: str
    at: float
    message: str = ""
    why: str | None = None  # why it ended; None: it opened

    @property
    def key(self) -> tuple[RuleVersion, str]:
        """What it is the violation of."""
        return self.version, self.task_id


class Waiting(Struct):
    """What is new of an app since its last batch was made."""

    account: str
    app_id: str
    since: float  # monotonic time of the oldest reading in it
    lease: tuple[str, int] | None = None  # budget and term under which it was read; not written under another term
    changes: list[NoticedChange] = field(default_factory=list)
    violations: list[ViolationEvent] = field(default_factory=list)
    all_tasks: bool = False  # whether all tasks are written, and others go
    all_violations: bool = False  # whether all open violations are, and others have ended
    began: float | None = None
    """Unix time of the first reading, if this process does not know what is stored of the app: that is read before."""


class Batch(Waiting, kw_only=True):
    """What one transaction writes about one app: what is new, and the app as it is then."""

    endpoint: str  # the service that it was read from
    sweep: Sweep  # the last accepted one
    last_update: float | None
    made: float  # Unix time
    tasks: dict[str, Entry | None]  # all, or those that were added or modified; None: removed
    open_violations: Sequence[ViolationEvent] = ()  # with `all_violations`
    push_auth: PushAuthSettings = DEFAULTS  # who signs the URLs of a host
    token: str = field(default_factory=partial(secrets.token_hex, 8))
    """In the database it says that this very batch was written."""
