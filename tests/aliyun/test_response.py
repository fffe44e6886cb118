"""A page is split into rows, or refused with the reason."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.aliyun.errors import ApiError
from exporter.aliyun.response import Page, read_page, row_digest
from exporter.aliyun.row import read_row
from exporter.state import State
from tests.support.rows import example_row, json_values


def page_of(*rows: Any) -> bytes:
    """Return the body of a page."""
    return json.dumps({"RequestId": "r", "MPUTasks": rows}).encode()


def test_rows_keep_their_bytes() -> None:
    """Each row is what stood in the body, so equal bytes have equal digests and others have not."""
    body = b'{"MPUTasks": [{"a": 1},  {"a":1}, {"a": 1}], "RequestId": "r"}'
    rows = read_page(body).rows
    assert [bytes(row) for row in rows] == [b'{"a": 1}', b'{"a":1}', b'{"a": 1}']
    assert row_digest(rows[0]) == row_digest(rows[2]) != row_digest(rows[1])


@pytest.mark.parametrize("tasks", ["[]", "null", None])
def test_no_list_beside_a_request_id_is_an_empty_page(tasks: str | None) -> None:
    """An app without tasks is told by an empty, null or absent list."""
    field = f', "MPUTasks": {tasks}' if tasks else ""
    assert read_page(f'{{"RequestId": "r"{field}}}'.encode()) == Page("r", [])


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        b'{"MPUTasks": []}',
        b'{"RequestId": "", "MPUTasks": []}',
        b'{"RequestId": 5, "MPUTasks": []}',
        b'{"RequestId": "r", "MPUTasks": {}}',
        b'{"RequestId": "r", "MPUTasks": "none"}',
        b"[" * 100_000,
    ],
)
def test_another_shape_is_refused_for_good(body: bytes) -> None:
    """JSON of another shape is invalid_response, and asking again would bring the same."""
    with pytest.raises(ApiError) as caught:
        read_page(body)
    assert caught.value.state is State.INVALID_RESPONSE
    assert not caught.value.retryable


@given(st.integers(min_value=0, max_value=len(page_of(example_row())) - 1))
def test_a_page_that_was_cut_off_may_be_asked_for_again(length: int) -> None:
    """Every true beginning of a page is invalid_response, and worth another attempt."""
    with pytest.raises(ApiError) as caught:
        read_page(page_of(example_row())[:length])
    assert caught.value.state is State.INVALID_RESPONSE
    assert caught.value.retryable


@pytest.mark.parametrize("odd", [rb'"\ud800"', rb'"\udc00\ud800"', b'"\xff"'])
def test_broken_unicode_costs_no_other_row(odd: bytes) -> None:
    """Beside a row with half a character the others keep their very bytes, and the row itself can be read."""
    whole = rb'{"TaskId": "2", "ChannelId": "\\ud800 \ud83d\ude00"}'
    body = b'{"RequestId": "r", "MPUTasks": [{"TaskId": "1", "ChannelId": ' + odd + b"}, " + whole + b"]}"
    rows = read_page(body).rows
    assert bytes(rows[1]) == whole
    first, second = (read_row(row, app_id="a") for row in rows)
    assert first is not None
    assert second is not None
    assert set(first.channel_id) == {"\ufffd"}
    assert second.channel_id == "\\ud800 \U0001f600"


@given(st.lists(json_values(), max_size=4))
def test_rows_of_any_kind_never_cost_the_page(rows: list[Any]) -> None:
    """Whatever JSON stands among the rows, the page is split into as many."""
    assert len(read_page(page_of(*rows)).rows) == len(rows)


def test_an_error_in_a_200_says_nothing_about_tasks() -> None:
    """A 200 that names an error and has no list is never taken for an empty app."""
    assert read_page(b'{"RequestId": "r", "Code": "Throttling"}').error_code == "Throttling"
    assert not read_page(b'{"RequestId": "r", "Code": "200", "MPUTasks": []}').error_code
