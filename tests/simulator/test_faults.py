"""Faults: each by its answer, and whom they hit."""

import json
from typing import Any

import pytest

from exporter.simulator.faults import FAULTS, Fault
from exporter.simulator.protocol import Response
from tests.simulator.support import ManualClock, code, page_query, signed, small_service, task_ids

LOOK_UP = {"AppId": "app", "TaskId": "task-1"}


def answer(name: str, query: dict[str, str] | None = None, tasks: int = 30) -> Response:
    """Return what a fault makes of the answer to a request."""
    service = small_service(ManualClock(), tasks)
    service.faults.add(Fault(name))
    return service.handle(signed(query or page_query(2, 10)))


def decoded(name: str, query: dict[str, str] | None = None) -> Any:
    """Return the JSON of what a fault makes of the answer."""
    return json.loads(answer(name, query).body)


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if "HTML" not in fault.description])
def test_refusals_have_the_documented_body(name: str) -> None:
    """What is refused with a code says all that the vendor's errors say; what each fault leads to: tests/faults."""
    response = answer(name)
    if response.status not in {200, 302} and name != "lower_case_error":
        assert set(json.loads(response.body)) == {"RequestId", "HostId", "Code", "Message", "Recommend"}


@pytest.mark.parametrize(
    ("name", "header", "value"),
    [
        ("throttled_400_wait", "x-acs-retry-after", "2000"),
        ("throttled_user_api", "x-ratelimit-user-api", "Limit:50,Remain:0,TimeLeft:2000,Reset:0"),
        ("unknown_code_user_limit", "x-ratelimit-user", "Limit:50,Remain:0,TimeLeft:1000,Reset:0"),
        ("throttled_by_proxy", "Retry-After", "2"),
        ("bad_gateway", "Content-Type", "text/html"),
    ],
)
def test_headers_say_how_long_to_wait_and_what_comes(name: str, header: str, value: str) -> None:
    """Waits are in milliseconds, but for those of a proxy."""
    assert answer(name).headers[header] == value


def test_answers_that_are_no_json() -> None:
    """A truncated answer has a good beginning and can't be read."""
    body = answer("truncated_json").body
    assert body.startswith(b'{"RequestId"')
    with pytest.raises(ValueError, match="line 1"):
        json.loads(body)


def test_answers_of_another_shape() -> None:
    """JSON that is not the documented shape."""
    assert decoded("tasks_not_a_list")["MPUTasks"] == "none"
    assert set(decoded("no_request_id")) == {"MPUTasks"}
    assert len(decoded("no_request_id")["MPUTasks"]) == 10
    assert isinstance(decoded("body_is_a_list"), list)
    assert set(decoded("lower_case_error")) == {"code", "message", "requestId"}
    assert answer("lower_case_error").status == 500


def test_answers_that_do_not_come() -> None:
    """Connections that are reset or hang, a slow answer, a redirect."""
    assert answer("reset").delivery == "reset"
    assert answer("hang").delivery == "hang"
    assert answer("slow").delay_seconds == 2.0
    assert len(task_ids(answer("slow").body)) == 10
    assert (answer("redirect").status, answer("redirect").headers["Location"]) == (302, "http://127.0.0.1:9/")


def test_pages_without_end() -> None:
    """Endless pages are full of new rows, repeated ones are all the first."""
    first, second = (task_ids(answer("endless_pages", page_query(page_no, 10)).body) for page_no in (1, 2000))
    assert len({*first, *second}) == 20
    pages = [task_ids(answer("repeated_pages", page_query(page_no, 10)).body) for page_no in (1, 2, 99)]
    assert pages == [[f"task-{number}" for number in range(29, 19, -1)]] * 3


def test_answers_with_wrong_rows() -> None:
    """Too many rows, rows of another app, other tasks than the one asked for."""
    assert len(task_ids(answer("too_many_rows").body)) == 11
    assert decoded("foreign_app_id")["MPUTasks"][0]["AppId"] == "another-app"
    assert "task-1" not in task_ids(answer("other_tasks", LOOK_UP).body)


def test_answers_that_leave_rows_out() -> None:
    """An empty list, and a page that ends early in the middle of the list; a refusal stays as it is."""
    assert task_ids(answer("empty_list").body) == []
    assert task_ids(answer("short_page").body) == [f"task-{number}" for number in range(19, 13, -1)]
    assert code(answer("short_page", page_query(0))) == "InvalidParam"


def hits(fault: Fault, queries: list[dict[str, str]]) -> list[bool]:
    """Return which of the requests a fault hits, each at a second of its own."""
    clock = ManualClock()
    service = small_service(clock, 30)
    service.faults.add(fault)
    found = []
    for query in queries:
        clock.advance(1)
        found.append(service.handle(signed(query, date=clock())).status == 500)
    return found


def test_a_fault_hits_its_share() -> None:
    """With a rate of 0.25 about a quarter of the requests fail; the same ones each time."""
    fault = Fault("internal_error", 0.25)
    found = hits(fault, [page_query()] * 400)
    assert 70 <= sum(found) <= 130
    assert found == hits(fault, [page_query()] * 400)


def test_a_fault_hits_so_many_times() -> None:
    """With a count it goes away by itself."""
    assert hits(Fault("internal_error", count=2), [page_query()] * 4) == [True, True, False, False]


def test_a_fault_may_hit_some_requests_only() -> None:
    """Faults can be for one app, one kind of request, one page."""
    queries = [page_query(1), page_query(2), LOOK_UP]
    assert hits(Fault("internal_error", kind="page"), queries) == [True, True, False]
    assert hits(Fault("internal_error", kind="look_up"), queries) == [False, False, True]
    assert hits(Fault("internal_error", kind="page", page_no=2), queries) == [False, True, False]
    assert hits(Fault("internal_error", app_id="app"), queries) == [True, True, True]
    assert hits(Fault("internal_error", app_id="another"), queries) == [False, False, False]


def test_faults_are_switched_off() -> None:
    """Faults last until they are cleared, all or by name."""
    service = small_service(ManualClock(), 3)
    service.faults.add(Fault("internal_error"))
    service.faults.add(Fault("bad_gateway"))
    statuses = [service.handle(signed(page_query())).status]
    service.faults.clear("internal_error")
    statuses.append(service.handle(signed(page_query())).status)
    service.faults.clear()
    statuses.append(service.handle(signed(page_query())).status)
    assert statuses == [500, 502, 200]
    assert service.statistics.by_fault == {"internal_error": 1, "bad_gateway": 1}


@pytest.mark.parametrize(("name", "rate"), [("no_such_fault", 1.0), ("hang", 1.5), ("hang", -0.1)])
def test_a_fault_that_makes_no_sense_is_refused(name: str, rate: float) -> None:
    """An unknown name and a rate that is no share are errors that say so."""
    with pytest.raises(ValueError, match=name):
        Fault(name, rate)
