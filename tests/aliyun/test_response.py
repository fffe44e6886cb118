"""A page is split into rows, or refused with the reason."""

import json
import time
import tracemalloc
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.aliyun.errors import ApiError
from exporter.aliyun.parse_task import MAX_ROW_BYTES, read_row, row_digest
from exporter.aliyun.response import MAX_COMMAS, MAX_ROWS, ListPage, read_page
from exporter.core.collection_state import State
from tests.support.rows import example_row, json_values
from tests.support.subtests import for_each


def page_of(*rows: Any) -> bytes:
    """Return the body of a page."""
    return json.dumps({"RequestId": "r", "MPUTasks": rows}).encode()


def test_rows_keep_their_bytes() -> None:
    """Each row is what stood in the body, so equal bytes have equal digests and others have not."""
    body = b'{"MPUTasks": [{"a": 1},  {"a":1}, {"a": 1}], "RequestId": "r"}'
    rows = read_page(body).rows
    assert [bytes(row) for row in rows] == [b'{"a": 1}', b'{"a":1}', b'{"a": 1}']
    assert row_digest(rows[0]) == row_digest(rows[2]) != row_digest(rows[1])


def beside_a_request_id(members: str) -> bytes:
    """Return the body of an answer that has a RequestId and other members."""
    return b'{"RequestId": "r", ' + members.encode() + b"}"


NO_TASKS = [
    '"MPUTasks": []', '"MPUTasks" : [ ]', '"MPUTasks": null', '"mputasks": null', '"PageNo": 1',
    '"MPUTasks": [], "Code": ""', '"Code": null, "MPUTasks": []',
    '"MPUTasks": [], "Code": "200", "Success": true, "Message": "OK"',
]  # fmt: skip


@for_each(NO_TASKS)
def test_no_list_beside_a_request_id_is_an_empty_page(members: str) -> None:
    """An app without tasks is reported by an empty, null or absent list."""
    assert read_page(beside_a_request_id(members)) == ListPage([])


OTHER_SHAPES = [
    b"[]", b"null", b'"text"', b"{}", b"12", b"[" * 100_000, b'[{"TaskId": "t"}]', b'{"MPUTasks": []}',
    b'{"RequestId": "", "MPUTasks": []}', b'{"RequestId": 5, "MPUTasks": []}', b'{"requestid": "r", "MPUTasks": []}',
    b'{"Response": {"RequestId": "r", "MPUTasks": []}}',
    *map(beside_a_request_id, (
        # Something else than a list.
        '"MPUTasks": {}', '"MPUTasks": ""', '"MPUTasks": false', '"MPUTasks": "none"', '"MPUTasks": 0',
        '"MPUTasks": {"MPUTask": [{"TaskId": "t"}]}',
        # A list under another name.
        '"Tasks": [{"TaskId": "t"}]', '"mputasks": [{"TaskId": "t"}]', '"mputasks": []',
        '"MPUTasks": null, "Tasks": [{"TaskId": "t"}]', '"Data": {"MPUTasks": [{"TaskId": "t"}]}',
        '"Data": {"MPUTasks": []}, "MPUTasks": []',
        # A member that is there twice.
        '"MPUTasks": [], "MpuTasks": null', '"MPUTasks": [], "mpuTasks": [{"TaskId": "t"}]',
        '"MPUTasks": [{"TaskId": "t"}], "MPUTasks": []', '"MPUTasks": [], "MPUTasks": [{"TaskId": "t"}]',
        '"MPUTasks": [{"TaskId": "t"}], "MPUTasks": [{"TaskId": "t"}]',
        '"MPUTasks": [{"TaskId": "t"}], "\\u004dPUTasks": []', '"MPUTasks": [{"TaskId": "t"}], "MPUTasks": null',
        '"MPUTasks": [{"TaskId": "t"}], "mputasks": []', '"RequestId": "s", "MPUTasks": []',
        '"Code": "", "Code": "Throttling", "MPUTasks": []',
    )),
]  # fmt: skip


@for_each(OTHER_SHAPES, name=lambda body: body[:60].decode())
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


ERRORS = [
    '"Code": "InternalError"', '"code": "Throttling.User", "message": "m"', '"Code": 500', '"Code": {"a": []}',
    '"errorCode": "Forbidden"', '"Error": "failed"', '"Success": false', '"success": "False", "Code": "200"',
]  # fmt: skip


LISTS = ["", '"MPUTasks": [], ', '"MPUTasks": null, ', '"MPUTasks": [{"TaskId": "t"}], ']


@for_each(product(LISTS, ERRORS))
def test_an_error_in_a_200_says_nothing_about_tasks(members: tuple[str, str]) -> None:
    """A 200 that reports an error, beside whatever list, has no rows and is not an empty page."""
    tasks, error = members
    page = read_page(beside_a_request_id(tasks + error))
    assert page.rows == []
    assert error.encode() in page.error
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
