"""Rows of the list for tests: a whole one to change, and generated ones of any shape."""

import json
from collections.abc import Mapping
from copy import copy
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from exporter.aliyun.parse_task import Interner, read_row
from exporter.collector.inventory import Change, Entry
from exporter.core.task import Task

VENDOR_EXAMPLE = Path(__file__).parent.parent / "aliyun" / "vendor_example.json"


def example_row() -> dict[str, Any]:
    """Return the row of the vendor's own example: every documented field has a value."""
    row: dict[str, Any] = json.loads(VENDOR_EXAMPLE.read_bytes())["MPUTasks"][0]
    return row


def changed(row: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return `row` with `value` at a path such as `TranscodeParams.UserInfos.0.UserId`; what is elsewhere is shared."""
    place: Any = copy(row)
    step, _, rest = path.partition(".")
    key = int(step) if step.isdigit() else step
    place[key] = changed(place[key], rest, value) if rest else value
    result: dict[str, Any] = place
    return result


def read(row: Any, share: Interner | None = None) -> Task:
    """Read a row of the vendor's example's app that has a TaskId."""
    task = read_row(row if isinstance(row, bytes) else json.dumps(row).encode(), app_id="yourAppId", share=share)
    assert task is not None
    return task


def with_change(path: str, value: Any) -> Task:
    """Read the vendor's example with one value changed."""
    return read(changed(example_row(), path, value))


def leaf_paths(value: Any, prefix: str = "") -> list[str]:
    """Return the path of every value in `value`, containers included."""
    if not isinstance(value, dict | list):
        return []
    children = value.items() if isinstance(value, dict) else enumerate(value)
    paths = []
    for step, child in children:
        path = f"{prefix}{step}"
        paths += [path, *leaf_paths(child, f"{path}.")]
    return paths


def json_values() -> st.SearchStrategy[Any]:
    """Generate any JSON value, odd numbers and half characters included."""
    leaves = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.integers(min_value=10**30, max_value=10**40)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(), max_size=12)
        | st.sampled_from(["", " ", "0", "30.0", "1e3", "-5", "rtmp://", "rtmp://[::1", "{", "true", "\ud83d", "\x00"])
    )
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    )


def change(before: Task | None, after: Task | None) -> Change:
    """Return the change from one version of a task to another."""
    old, new = (None if task is None else Entry.of(task, sent_at=0.0) for task in (before, after))
    return Change(old, new)
