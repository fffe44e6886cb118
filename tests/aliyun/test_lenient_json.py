"""JSON that the strict decoder refuses is read as far as it can be; of documented rows both ways make the same."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.aliyun.field_reader import FieldReader
from exporter.aliyun.lenient_json import decode, decode_or, mend, without_lone_surrogates
from exporter.aliyun.parse_task import read_row
from exporter.aliyun.row_schema import Row
from tests.support.generated import documented_rows
from tests.support.rows import VENDOR_EXAMPLE, changed, example_row


@given(documented_rows())
def test_mending_leaves_documented_rows_as_the_decoder_reads_them(row: dict[str, Any]) -> None:
    """What has the documented shape comes out of both ways equal, and nothing in it is odd."""
    raw = json.dumps(row).encode()
    reader = FieldReader()
    assert mend(decode_or(raw), Row, reader) == msgspec.json.decode(raw, type=Row)
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


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_whole_text_is_left_alone(text: str) -> None:
    """Text without half characters keeps its bytes, escapes of whole pairs and escaped backslashes included."""
    encoded = json.dumps([text, f"\\ud800{text}"]).encode()
    assert without_lone_surrogates(encoded) == encoded
    assert decode(encoded) == json.loads(encoded)


@given(st.text(st.characters()))
def test_half_characters_are_replaced(text: str) -> None:
    """Whatever halves are in it, the text that is read can be encoded, and its whole characters remain."""
    read = decode(json.dumps(text).encode())
    read.encode()
    # Two halves that meet are one character, in JSON as in UTF-16.
    expected = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert read.replace("\ufffd", "") == expected.replace("\ufffd", "")


@pytest.mark.parametrize(("encoded", "expected"), [(b'"\xff"', "\ufffd"), (b"9" * 6000, "9" * 6000), (b"12", 12)])
def test_broken_bytes_and_absurd_numbers_are_read(encoded: bytes, expected: object) -> None:
    """Bytes that are no UTF-8 are replaced; a number that Python refuses to convert stays text."""
    assert decode(encoded) == expected


@pytest.mark.parametrize("encoded", [b"", b"{", b"nul", b"<html>"])
def test_what_is_no_json_is_refused(encoded: bytes) -> None:
    """There is no guessing beyond Unicode and numbers."""
    with pytest.raises(ValueError, match="Expecting"):
        decode(encoded)
