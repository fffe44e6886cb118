"""A row in the documented shape means the same whether the decoder fills its types or they are filled by hand."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given

from exporter.aliyun.field_reader import FieldReader
from exporter.aliyun.json_repair import decode, mend
from exporter.aliyun.parse_task import read_row
from exporter.aliyun.row_schema import Row
from tests.support.documented_rows import documented_rows
from tests.support.rows import VENDOR_EXAMPLE, changed, example_row


@given(documented_rows())
def test_mending_leaves_documented_rows_as_the_decoder_reads_them(row: dict[str, Any]) -> None:
    """What has the documented shape comes out of both ways equal, and nothing in it is odd."""
    raw = json.dumps(row).encode()
    reader = FieldReader()
    assert mend(decode(raw), Row, reader) == msgspec.json.decode(raw, type=Row)
    assert (reader.errors, reader.unknown, reader.odd) == ([], [], [])


@given(documented_rows())
def test_a_row_costs_the_same_fields_on_both_ways(row: dict[str, Any]) -> None:
    """A row is the same task, but for the digest of its bytes, when an empty unknown key sends it the other way."""
    straight, mended = (
        read_row(json.dumps(content).encode(), app_id="a") for content in (row, {**row, "Unknown": None})
    )
    assert straight is not None
    assert mended is not None
    assert mended.same_content(straight)


def test_vendors_example_needs_no_mending() -> None:
    """The decoder takes the vendor's own example as it is."""
    for row in json.loads(VENDOR_EXAMPLE.read_bytes())["MPUTasks"]:
        assert msgspec.json.decode(json.dumps(row), type=Row).task_id == "yourTaskId"


@pytest.mark.parametrize(
    ("path", "value", "errors"),
    [
        ("TranscodeParams.Layout.UserPanes.0.UserInfo", "x", ["UserPanes.UserInfo"]),
        ("TranscodeParams.Layout.UserPanes.0", "x", ["UserPanes"]),
        ("TranscodeParams.UserInfos", {"a": 1}, ["UserInfos"]),
        ("SeiParams.LayoutVolume", "", []),
        ("SeiParams.LayoutVolume", [1], ["LayoutVolume"]),
    ],
)
def test_what_is_no_object_or_list_is_named_and_left_out(path: str, value: Any, errors: list[str]) -> None:
    """Another thing where an object or a list belongs is noted under its documented name, unless it is empty."""
    reader = FieldReader()
    mended = mend(changed(example_row(), path, value), Row, reader)
    assert reader.errors == errors
    assert mended.task_id == "yourTaskId"
