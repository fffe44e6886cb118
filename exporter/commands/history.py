"""`history`: what changed, from the database."""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from msgspec import to_builtins
from sqlalchemy import NullPool

from exporter.collector.past import HistoryFilter, RecordedChange
from exporter.commands import ExitCode
from exporter.commands.console import console, table
from exporter.config.mistakes import UsageError
from exporter.rules.rule_loader import ConfigurationSource
from exporter.storage.database import engine_of, sqlite_path
from exporter.storage.stored_past import read_changes
from exporter.storage.writer import error_line


def history(source: ConfigurationSource, wanted: HistoryFilter, output: Literal["table", "json"]) -> int:
    """Print changes, oldest first; returns the exit code. Raises ConfigError, or UsageError: it has no database."""
    storage = source.load().config.storage
    if storage is None:
        raise UsageError("no database: put storage: {url: sqlite:PATH} into the configuration")
    try:
        changes = _read(storage.database_url(), wanted)
    except Exception as error:  # noqa: BLE001 - of the driver, with the statement and its values
        sys.stderr.write(f"database can't be read: {error_line(error)}\n")
        return ExitCode.UNREAD
    changes.reverse()
    if output == "json":
        sys.stdout.write(json.dumps({"changes": [_as_json(change) for change in changes]}, indent=2) + "\n")
    else:
        console().print(table(("when", "account", "app", "task", "change", "what"), map(_row, changes)))
    return ExitCode.FINE


def _read(url: str, wanted: HistoryFilter) -> list[RecordedChange]:
    path = sqlite_path(url)
    if path is not None and not path.exists():
        raise FileNotFoundError(f"{str(path)!r} not found: the exporter writes it")
    with engine_of(url, poolclass=NullPool).connect() as connection:
        return read_changes(connection, wanted)


def _as_json(change: RecordedChange) -> dict[str, Any]:
    shown = to_builtins(change)
    return {
        **{name: shown[name] for name in ("number", "account", "app_id", "task_id", "change", "fields", "notes")},
        "noticed": _time(change.noticed),
        "earliest": None if change.earliest is None else _time(change.earliest),
    }


def _row(change: RecordedChange) -> Sequence[str | None]:
    when = _time(change.noticed)
    if change.earliest is not None:
        when = f"between {_time(change.earliest)} and {when}"
    return when, change.account, change.app_id, change.task_id, change.change, _what(change)


def _what(change: RecordedChange) -> str | None:
    parts = []
    for field in change.fields:
        before, after = field.words()
        words = {"added": after, "removed": before}.get(change.change, field.line())
        parts.append(f"{field.field}: {words}")
    return "; ".join([*parts, *(note.replace("_", " ") for note in change.notes)]) or None


def _time(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
