"""Faults: each by its answer, and whom they hit."""

import json
from typing import Any

import pytest

from exporter.simulator.faults import FAULTS, Fault
from exporter.simulator.protocol import Response
from tests.simulator.support import ManualClock, code, page_query, signed, small_service, task_ids

LOOK_UP = {"AppId": "app", "TaskId": "task-1"}

REFUSALS = {
    "throttled_400": (400, "Throttling.User"),
    "throttled_429": (429, "Throttling.User"),
    "throttled_503": (503, "Throttling.User"),
    "throttled_400_wait": (400, "Throttling.User"),
    "throttled_429_wait": (429, "Throttling.User"),
    "throttled_503_wait": (503, "Throttling.User"),
    "throttled_user_api": (400, "Throttling.User"),
    "internal_error": (500, "InternalError"),
    "service_unavailable": (503, "ServiceUnavailable"),
    "wrong_key": (404, "InvalidAccessKeyId.NotFound"),
    "inactive_key": (400, "InvalidAccessKeyId.Inactive"),
    "expired_token": (400, "InvalidSecurityToken.Expired"),
    "malformed_token": (400, "InvalidSecurityToken.Malformed"),
    "wrong_signature": (400, "SignatureDoesNotMatch"),
    "nonce_used": (400, "SignatureNonceUsed"),
    "expired_timestamp": (400, "InvalidTimeStamp.Expired"),
    "forbidden": (403, "Forbidden"),
    "forbidden_ram": (403, "Forbidden.RAM"),
    "not_enabled": (403, "OperationDenied"),
    "invalid_app": (400, "InvalidAppId"),
    "app_not_found": (404, "AppInfoNotExist"),
    "rejected": (400, "InvalidParam"),
    "rejected_throttling": (400, "Rejected.Throttling"),
    "unknown_code": (400, "Odd.Refusal"),
    "unknown_code_user_limit": (400, "Odd.Refusal"),
    "no_such_action": (404, "InvalidAction.NotFound"),
}
HTML = {"throttled_by_proxy": 429, "bad_gateway": 502, "blocked_by_proxy": 403, "not_found_page": 404, "not_json": 200}
SHAPES = {
    "lower_case_error",
    "truncated_json",
    "tasks_not_a_list",
    "no_request_id",
    "body_is_a_list",
    "redirect",
    "reset",
    "hang",
    "slow",
    "endless_pages",
    "repeated_pages",
    "too_many_rows",
    "foreign_app_id",
    "other_tasks",
    "empty_list",
    "short_page",
}


def answer(name: str, query: dict[str, str] | None = None, tasks: int = 30) -> Response:
    """Return what a fault makes of the answer to a request."""
    service = small_service(ManualClock(), tasks)
    service.faults.add(Fault(name))
    return service.handle(signed(query or page_query(2, 10)))


def decoded(name: str, query: dict[str, str] | None = None) -> Any:
    """Return the JSON of what a fault makes of the answer."""
    return json.loads(answer(name, query).body)


def test_every_fault_is_tested() -> None:
    """No fault is without a place in this file."""
    assert set(FAULTS) == {*REFUSALS, *HTML, *SHAPES}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_have_their_code_and_status(name: str) -> None:
    """A refusal has the whole documented body."""
    response = answer(name)
    assert (response.status, code(response)) == REFUSALS[name]
    assert set(json.loads(response.body)) == {"RequestId", "HostId", "Code", "Message", "Recommend"}


@pytest.mark.parametrize("name", REFUSALS)
def test_only_some_say_how_long_to_wait(name: str) -> None:
    """The wait is in milliseconds in a header, where the fault's name says so."""
    headers = answer(name).headers
    assert headers.get("x-acs-retry-after") == ("2000" if name.endswith("_wait") else None)
    assert ("TimeLeft:2000" in headers.get("x-ratelimit-user-api", "")) == (name == "throttled_user_api")
    assert ("Remain:0" in headers.get("x-ratelimit-user", "")) == (name == "unknown_code_user_limit")


@pytest.mark.parametrize("name", HTML)
def test_pages_of_something_between(name: str) -> None:
    """What something between client and service answers is HTML."""
    response = answer(name)
    assert response.status == HTML[name]
    assert response.headers["Content-Type"] == "text/html"
    assert response.body.startswith(b"<html>")
    assert response.headers.get("Retry-After") == ("2" if name == "throttled_by_proxy" else None)


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
