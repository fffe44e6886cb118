"""The closed lists of fields, checked against what reading a row reports."""

import json
from typing import Any

import pytest

from exporter.aliyun.response import read_row
from exporter.metrics.task_families import FIELDS_WITH_ERRORS, FIELDS_WITH_KNOWN_VALUES
from tests.support.rows import changed, example_row, leaf_paths

ODD = [[1], {"a": 1}, True, "odd", 10**30, ["x"], [{"URL": []}]]


@pytest.mark.parametrize("odd", ODD, ids=json.dumps)
def test_whatever_is_odd_in_a_row_is_in_the_lists(odd: Any) -> None:
    """An odd value in any place of a row is reported under a field that the labels document."""
    row = example_row()
    reported = 0
    for path in set(leaf_paths(row)) - {"AppId", "TaskId"}:
        task = read_row(json.dumps(changed(row, path, odd)).encode(), app_id=row["AppId"])
        assert task is not None
        assert set(task.configuration.field_errors) <= set(FIELDS_WITH_ERRORS)
        assert set(task.configuration.unknown_values) <= set(FIELDS_WITH_KNOWN_VALUES)
        reported += len(task.configuration.field_errors) + len(task.configuration.unknown_values)
    assert reported > 30
