"""A page is split into rows, or refused with the reason."""

import json
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.aliyun.errors import ApiError
from exporter.aliyun.parse_task import MAX_ROW_BYTES, read_row, row_digest
from exporter.aliyun.response import MAX_COMMAS, MAX_ROWS, ListPage, read_page
from exporter.core.collection_state import State
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


@pytest.mark.parametrize(
    "members",
    [
        b'"MPUTasks": []',
        b'"MPUTasks" : [ ]',
        b'"MPUTasks": null',
        b'"PageNo": 1',
        b'"MPUTasks": [], "Code": ""',
        b'"Code": null, "MPUTasks": []',
        b'"MPUTasks": [], "Code": "200", "Success": true, "Message": "OK"',
        b'"mputasks": null',
    ],
)
def test_no_list_beside_a_request_id_is_an_empty_page(members: bytes) -> None:
    """An app without tasks is reported by an empty, null or absent list."""
    assert read_page(b'{"RequestId": "r", ' + members + b"}") == ListPage("r", [])


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
        b'{"requestid": "r", "MPUTasks": []}',
        b'{"RequestId": "r", "MPUTasks": {}}',
        b'{"RequestId": "r", "MPUTasks": ""}',
        b'{"RequestId": "r", "MPUTasks": false}',
        b'{"RequestId": "r", "MPUTasks": "none"}',
        b'{"RequestId": "r", "MPUTasks": 0}',
        b'{"RequestId": "r", "Tasks": [{"TaskId": "t"}]}',
        b'{"Response": {"RequestId": "r", "MPUTasks": []}}',
        b'{"RequestId": "r", "MPUTasks": [], "MpuTasks": null}',
        b'[{"TaskId": "t"}]',
        b"12",
        b'{"RequestId": "r", "MPUTasks": {"MPUTask": [{"TaskId": "t"}]}}',
        b'{"RequestId": "r", "mputasks": [{"TaskId": "t"}]}',
        b'{"RequestId": "r", "mputasks": []}',
        b'{"RequestId": "r", "MPUTasks": [], "mpuTasks": [{"TaskId": "t"}]}',
        b'{"RequestId": "r", "MPUTasks": null, "Tasks": [{"TaskId": "t"}]}',
        b'{"RequestId": "r", "Data": {"MPUTasks": [{"TaskId": "t"}]}}',
        b'{"RequestId": "r", "Data": {"MPUTasks": []}, "MPUTasks": []}',
        b'{"RequestId": "r", "MPUTasks": [{"TaskId": "t"}], "MPUTasks": []}',
        b'{"RequestId": "r", "MPUTasks": [], "MPUTasks": [{"TaskId": "t"}]}',
        b'{"RequestId": "r", "MPUTasks": [{"TaskId": "t"}], "MPUTasks": [{"TaskId": "t"}]}',
        b'{"RequestId": "r", "MPUTasks": [{"TaskId": "t"}], "\\u004dPUTasks": []}',
        b'{"RequestId": "r", "MPUTasks": [{"TaskId": "t"}], "MPUTasks": null}',
        b'{"RequestId": "r", "MPUTasks": [{"TaskId": "t"}], "mputasks": []}',
        b'{"RequestId": "r", "RequestId": "s", "MPUTasks": []}',
        b'{"RequestId": "r", "Code": "", "Code": "Throttling", "MPUTasks": []}',
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
    """Whatever JSON is among the rows, the page is split into as many."""
    assert len(read_page(page_of(*rows)).rows) == len(rows)


@pytest.mark.parametrize("tasks", [b"", b'"MPUTasks": [], ', b'"MPUTasks": null, ', b'"MPUTasks": [{"TaskId": "t"}], '])
@pytest.mark.parametrize(
    "error",
    [
        b'"Code": "InternalError"',
        b'"code": "Throttling.User", "message": "m"',
        b'"Code": 500',
        b'"Code": {"a": []}',
        b'"errorCode": "Forbidden"',
        b'"Error": "failed"',
        b'"Success": false',
        b'"success": "False", "Code": "200"',
    ],
)
def test_an_error_in_a_200_says_nothing_about_tasks(tasks: bytes, error: bytes) -> None:
    """A 200 that reports an error, beside whatever list, has no rows and is not an empty page."""
    page = read_page(b'{"RequestId": "r", ' + tasks + error + b"}")
    assert page.rows == []
    assert error in page.error
    assert b"TaskId" not in page.error


BOMBS = {
    "rows": page_of(*[{}] * (MAX_ROWS + 1)),
    "tiny rows": b'{"RequestId": "r", "MPUTasks": [' + b"{}," * 1_300_000 + b"{}]}",
    "a row's bytes": page_of({"TaskId": "x" * MAX_ROW_BYTES}),
    "values": b'{"RequestId": "r", "MPUTasks": [{"a": [' + b"1," * MAX_COMMAS + b"1,1]}]}",
    "around the list": b'{"RequestId": "r", ' + b'"a": 1, ' * 400_000 + b'"MPUTasks": []}',
    "an error's message": json.dumps({"RequestId": "r", "Code": "Throttling", "Message": "m" * 100_000}).encode(),
    "depth": b'{"RequestId": "r", "MPUTasks": [' + b"[" * 1_000_000,
    "half characters": page_of({"TaskId": "\ud800" * 100_000}),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_no_real_page_has_is_refused_before_it_is_split(name: str) -> None:
    """Too many or too large parts of a page are invalid_response, at little cost in memory and time."""
    body = BOMBS[name]
    tracemalloc.start()
    started = time.thread_time()
    try:
        with pytest.raises(ApiError) as caught:
            read_page(body)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.state is State.INVALID_RESPONSE
    assert peak_bytes < 4 * len(body) + 1_000_000
    assert time.thread_time() - started < 1


def test_the_largest_real_page_is_read() -> None:
    """A page of 100 tasks that have all that is documented, with 16 panes and 50 users each, is within the bounds."""
    row = example_row()
    parts = row["TranscodeParams"]
    parts["Layout"]["UserPanes"] = parts["Layout"]["UserPanes"][:1] * 16
    parts["UserInfos"] = parts["UserInfos"][:1] * 50
    row["StreamURL"] = "rtmp://push.example.com/" + "x" * 2000
    assert len(read_page(page_of(*[row] * 100)).rows) == 100
