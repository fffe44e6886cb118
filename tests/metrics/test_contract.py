"""Names, types, labels and help of all families, checked against a golden file."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from exporter.aliyun.parse_task import read_row
from exporter.collector.task_diff import FIELD_GROUPS
from exporter.core.task import FIELDS
from exporter.metrics.exposition import declarations
from exporter.metrics.family import Declaration
from exporter.metrics.task_families import FIELDS_WITH_ERRORS, FIELDS_WITH_KNOWN_VALUES
from tests.support.rows import changed, example_row, leaf_paths
from tests.support.subtests import for_each

GOLDEN = Path(__file__).with_name("contract.txt")


def _promise(declaration: Declaration) -> str:
    """Return what those who scrape a family rely on."""
    labels = ",".join(declaration.label_names)
    return f"{declaration.name} | {declaration.kind} | {labels} | {declaration.documentation}"


def test_what_is_promised_has_not_changed() -> None:
    """A change here breaks somebody's dashboards: it is made in this file too, on purpose, and in the changelog."""
    assert [_promise(declaration) for declaration in declarations()] == GOLDEN.read_text("utf-8").splitlines()


@for_each(declarations(), name=lambda declaration: declaration.name)
def test_declaration_follows_the_conventions(declaration: Declaration) -> None:
    """Prefix, suffixes, sentences and labels are as everywhere."""
    assert re.fullmatch(r"rtcmpu_[a-z0-9_]+", declaration.name)
    assert declaration.name.endswith("_total") == (declaration.kind == "counter")
    assert declaration.name.endswith("_info") == (declaration.kind == "info")
    assert not declaration.name.endswith(("_bucket", "_sum", "_count", "_gsum", "_gcount", "_created"))
    assert declaration.help.endswith(".")
    assert not declaration.note or declaration.note.endswith((".", "`"))
    assert len(set(declaration.label_names)) == len(declaration.labels)
    assert all(re.fullmatch(r"[a-z_0-9]+", name) for name in declaration.label_names)
    assert not {"le", "region", "instance", "job"} & set(declaration.label_names)


def test_names_are_unique() -> None:
    """No two families share a name, nor a name in OpenMetrics."""
    names = [declaration.openmetrics_name for declaration in declarations()]
    assert len(set(names)) == len(names)


def test_names_are_no_samples_of_others() -> None:
    """No family is named as a sample of another one, also not across the two paths: a target may scrape both."""
    names = {declaration.name for declaration in declarations()}
    for declaration in declarations():
        if declaration.kind in {"histogram", "gaugehistogram"}:
            suffixes = ("_bucket", "_count", "_sum", "_gcount", "_gsum")
            assert names.isdisjoint(f"{declaration.name}{suffix}" for suffix in suffixes)


def test_account_and_app_id_come_first() -> None:
    """Whatever is about an app begins with them."""
    for declaration in declarations():
        if "app_id" in declaration.label_names:
            assert declaration.label_names[:2] == ("account", "app_id")
        elif "account" in declaration.label_names:
            assert declaration.label_names[0] == "account"


def test_values_of_field_are_fields_of_a_task() -> None:
    """Every value of the label is one that a task can report, and each field has at least one way to go wrong."""
    documented = {
        declaration.name: label.values
        for declaration in declarations()
        for label in declaration.labels
        if label.name == "field"
    }
    assert documented.pop("rtcmpu_task_field_changes_total") == FIELD_GROUPS
    assert {value for values in documented.values() for value in values} == set(FIELDS)


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
