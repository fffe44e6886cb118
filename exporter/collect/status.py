"""What is known about the collection of one app: an immutable value that is replaced whole."""

from collections.abc import Mapping

from msgspec import Struct

from exporter.state import State


class Sweep(Struct, frozen=True):
    """Facts about the last accepted sweep."""

    began: float
    """Wall-clock seconds."""
    duration_seconds: float
    requests: int
    repaired_tasks: int
    """Tasks that its pages missed, because they moved or were created meanwhile, and that were found otherwise."""
    duplicate_rows: int
    """Rows that came more than once because the list moved, overlaps on purpose not counted."""
    rows_without_task_id: int
    unmoved_changes: int = 0
    """Changed tasks that no update could see, because the service left them where they stood."""


class Status(Struct, frozen=True):
    """How it stands with one app. Times are wall-clock seconds; None: not yet."""

    account: str
    app_id: str
    name: str
    owner: str
    quota_single: int | None
    quota_mixed: int | None
    state: State
    reason: str
    """One line in plain words; empty while the state is ok."""
    up: bool
    data_available: bool
    """Whether task families are published."""
    last_update_began: float | None
    last_sweep_began: float | None
    last_attempt_began: float | None
    interval_seconds: float
    """Effective, as the next two."""
    sweep_interval_seconds: float
    stale_after_seconds: float
    interval_stretch_ratio: float
    attempts: Mapping[tuple[str, State], int]
    """By kind (update, sweep) and outcome."""
    sweep: Sweep | None
    """None until a sweep was accepted."""
    repairs: int = 0
    """Repaired tasks of all sweeps that this process accepted, added up; so the next."""
    duplicates_seen: int = 0
    doubtful_tasks: int = 0
    """Known tasks that neither the list nor a lookup settles: not seen, and not proven to be gone."""
