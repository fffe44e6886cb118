"""Faults: what refusals say, and whom they hit. What each of them leads to is seen in tests/faults."""

import json

import pytest

from exporter.simulator.faults import FAULTS, Fault
from exporter.simulator.protocol import Response
from tests.simulator.support import page_query, signed, small_service
from tests.support.virtual_time import SetClock

LOOK_UP = {"AppId": "app", "TaskId": "task-1"}
REFUSALS = {
    (400, "Throttling.User"): "throttled_400 throttled_400_wait throttled_user_api",
    (429, "Throttling.User"): "throttled_429 throttled_429_wait",
    (503, "Throttling.User"): "throttled_503 throttled_503_wait",
    (400, "Rejected.Throttling"): "rejected_throttling",
    (500, "InternalError"): "internal_error",
    (503, "ServiceUnavailable"): "service_unavailable",
    (404, "InvalidAccessKeyId.NotFound"): "wrong_key",
    (400, "InvalidAccessKeyId.Inactive"): "inactive_key",
    (400, "InvalidSecurityToken.Expired"): "expired_token",
    (400, "InvalidSecurityToken.Malformed"): "malformed_token",
    (400, "SignatureDoesNotMatch"): "wrong_signature",
    (400, "SignatureNonceUsed"): "nonce_used",
    (400, "InvalidTimeStamp.Expired"): "expired_timestamp",
    (403, "Forbidden"): "forbidden",
    (403, "Forbidden.RAM"): "forbidden_ram",
    (403, "OperationDenied"): "not_enabled",
    (400, "InvalidAppId"): "invalid_app",
    (404, "AppInfoNotExist"): "app_not_found",
    (400, "InvalidParam"): "rejected",
    (400, "Odd.Refusal"): "unknown_code unknown_code_user_limit",
    (404, "InvalidAction.NotFound"): "no_such_action",
}
"""Faults that refuse a request as the vendor does, by the documented status and code."""
PAGES = {"not_json": 200, "redirect": 302, "blocked_by_proxy": 403, "not_found_page": 404}
PAGES |= {"throttled_by_proxy": 429, "bad_gateway": 502}
"""Faults that answer with something else than the service, by its status."""
IDS = [f"task-{number}" for number in range(29, -1, -1)]
LISTED = {
    "endless_pages": [f"endless-2-{number}" for number in range(10)],
    "repeated_pages": IDS[:10],
    "too_many_rows": [f"surplus-{number}" for number in range(11)],
    "other_tasks": ["not-asked-for-0", "not-asked-for-1"],
    "foreign_app_id": ["foreign-0"],
    "empty_list": [],
    "short_page": IDS[10:16],
    "slow": IDS[10:20],
}
"""What is listed on the second page of ten rows, of thirty."""
OTHERS = {"lower_case_error", "truncated_json", "tasks_not_a_list", "no_request_id", "body_is_a_list", "reset", "hang"}


def answer(name: str | None) -> Response:
    """Return what a fault makes of the answer to a request; None: the answer as it should be."""
    service = small_service(SetClock(), 30, compression=False)
    if name is not None:
        service.faults.add(Fault(name))
    return service.handle(signed(page_query(2, 10)))


def test_every_fault_is_expected_here() -> None:
    """None is noticed by the exporter's tests alone."""
    refusals = [name for names in REFUSALS.values() for name in names.split()]
    assert sorted([*refusals, *PAGES, *LISTED, *OTHERS]) == sorted(FAULTS)


@pytest.mark.parametrize(("documented", "names"), REFUSALS.items(), ids=str)
def test_refusals_are_as_documented(documented: tuple[int, str], names: str) -> None:
    """Status and code are the vendor's, and the body says all that the vendor's errors say."""
    for name in names.split():
        refusal = answer(name)
        body = json.loads(refusal.body)
        assert (refusal.status, body["Code"]) == documented
        assert set(body) == {"RequestId", "HostId", "Code", "Message", "Recommend"}


def test_other_programs_answer_otherwise() -> None:
    """A proxy, or another server, answers with a page, a gateway with keys in lower case."""
    assert {name: answer(name).status for name in PAGES} == PAGES
    for name in PAGES.keys() - {"redirect"}:
        assert answer(name).body.startswith(b"<html>")
    assert answer("redirect").headers["Location"]
    lower_case = answer("lower_case_error")
    assert (lower_case.status, set(json.loads(lower_case.body))) == (500, {"code", "message", "requestId"})


@pytest.mark.parametrize("name", LISTED)
def test_a_page_lists_something_else(name: str) -> None:
    """The answer has the form that is documented; its rows are not those that were asked for, or come late."""
    response, good = answer(name), answer(None)
    tasks = json.loads(response.body)["MPUTasks"]
    assert (response.status, [task["TaskId"] for task in tasks]) == (200, LISTED[name])
    assert {task["AppId"] for task in tasks} <= {"another-app" if name == "foreign_app_id" else "app"}
    assert response.delay_seconds == good.delay_seconds + (2.0 if name == "slow" else 0.0)


def test_a_page_is_malformed() -> None:
    """The answer ends early, or lacks its form; or there is none."""
    good = answer(None).body
    broken = {name: answer(name) for name in OTHERS - {"lower_case_error"}}
    assert {each.status for each in broken.values()} == {200}
    truncated = broken["truncated_json"].body
    assert good.startswith(truncated)
    assert len(good) > len(truncated) > len(good) / 2
    assert json.loads(broken["tasks_not_a_list"].body)["MPUTasks"] == "none"
    assert json.loads(broken["no_request_id"].body) == {"MPUTasks": json.loads(good)["MPUTasks"]}
    assert json.loads(broken["body_is_a_list"].body) == [json.loads(good)]
    assert {each.delivery for name, each in broken.items() if name == each.delivery} == {"reset", "hang"}


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


def hits(fault: Fault, queries: list[dict[str, str]]) -> list[bool]:
    """Return which of the requests a fault hits, each at a second of its own."""
    clock = SetClock()
    service = small_service(clock, 30)
    service.faults.add(fault)
    found = []
    for query in queries:
        clock.seconds += 1
        found.append(service.handle(signed(query, date=clock.now())).status == 500)
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
    service = small_service(SetClock(), 3)
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
