"""Whatever bytes come as the service's answer: tasks or an `ApiError` come of them."""

import json
import random
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from exporter.aliyun.errors import MAX_WAIT_SECONDS, ApiError, answer_failure
from exporter.aliyun.parse_task import Interner
from exporter.aliyun.response import read_page
from exporter.collector.reading import AppRows
from exporter.config.model import Buckets
from exporter.core.task import Task
from exporter.metrics.aggregates import Aggregates
from tests.support.generated import documented_rows, examples
from tests.support.rows import example_row, json_values

WHOLE = json.dumps({"RequestId": "r", "MPUTasks": [{**example_row(), "AppId": "a"}] * 3}).encode()
PIECES = (
    *(b'{}[],:"\\\x00\xff\xed\xa0\x80'[place : place + 1] for place in range(12)),
    b"\\ud83d",
    b"1e999",
    b"-0",
    b"9" * 5000,
    b"null",
    b"\xe2\x80\xae",
    b"[" * 3000,
    b'{"a":' * 3000,
    b'"MPUTasks":',
    b"\x1b[31m",
)


def dumped(content: Any) -> bytes:
    """Write JSON, half characters included."""
    return json.dumps(content).encode()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Generate pages of which some bytes are others, missing or doubled."""
    body = WHOLE
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.sampled_from((0, 1, 2, 10, 200))))
        body = body[:start] + draw(st.sampled_from(PIECES) | st.binary(max_size=8)) + body[end:]
    return body


def pages() -> st.SearchStrategy[bytes]:
    """Generate answers of every kind: noise, JSON, rows of any shape, damaged pages."""
    rows = st.lists(documented_rows() | st.dictionaries(st.text(max_size=9), json_values(), max_size=4), max_size=3)
    return st.one_of(
        damaged(),
        st.binary(max_size=200),
        json_values().map(dumped),
        rows.map(lambda listed: dumped({"RequestId": "r", "MPUTasks": listed})),
    )


@given(body=pages())
@example(body=b'{"RequestId":"r","MPUTasks":[' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"]}")
@example(body=b"[" * 1_000_000)
@example(body=b'{"RequestId":"r","MPUTasks":[{"TaskId":"t","SeiParams":' + b"[" * 2000 + b"]" * 2000 + b"}]}")
@settings(max_examples=examples(200))
def test_tasks_or_an_api_error_come_of_any_answer(body: bytes) -> None:
    """A page is read to its last row or refused with one sentence; its tasks can be counted."""
    try:
        tasks = _tasks(body)
    except ApiError as error:
        refusal = str(error)
        tasks = []
    else:
        refusal = ""
    assert len(refusal) < 300
    assert refusal.isprintable()
    aggregates = Aggregates(Buckets())
    for task in tasks:
        aggregates.add(task.configuration)


@given(
    status=st.integers(100, 999),
    headers=st.dictionaries(
        st.sampled_from(("Retry-After", "x-acs-retry-after", "x-ratelimit-user-api", "x-ratelimit-user", "Date", "x")),
        st.text(max_size=30) | st.sampled_from(("1" * 40, "Remain:0,TimeLeft:99999999999", "-1", "1e9", "\u0663")),
        max_size=4,
    ),
    body=pages() | st.builds(lambda code: dumped({"Code": code, "Message": code, "RequestId": code}), json_values()),
)
def test_an_error_says_nothing_of_what_it_was_reported(status: int, headers: dict[str, str], body: bytes) -> None:
    """Whatever is in a failed answer, the sentence about it is ours, and no wait is longer than is believed."""
    error = answer_failure(status, headers, body, now=1e9)
    assert re.fullmatch(r"[A-Za-z0-9._-]{0,64}", error.code)
    assert str(error).isprintable()
    assert error.wait_seconds is None or 0 < error.wait_seconds <= MAX_WAIT_SECONDS


@pytest.mark.parametrize("seed", range(5))
def test_many_random_bytes_are_soon_done(seed: int) -> None:
    """A page of a megabyte of nonsense inside a string, or in its place, is no work."""
    noise = random.Random(seed).randbytes(1_000_000)  # noqa: S311 - no secret
    for body in (noise, WHOLE[:-3] + b',"X":"' + noise + b'"}]}'):
        with pytest.raises(ApiError):
            _tasks(body)


def _tasks(body: bytes) -> list[Task]:
    """Read an answer as a listing does."""
    rows = AppRows("a", Interner())
    page = read_page(body)
    read = [(rows.digest(row), rows.read(row)) for row in page.rows]
    return [task for _, task in read if task is not None]
