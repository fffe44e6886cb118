"""Faults: what refusals say, and whom they hit. What each of them leads to is seen in tests/faults."""

import json

import pytest

from exporter.simulator.faults import FAULTS, Fault
from exporter.simulator.protocol import Response
from tests.simulator.support import ManualClock, page_query, signed, small_service

LOOK_UP = {"AppId": "app", "TaskId": "task-1"}


def answer(name: str) -> Response:
    """Return what a fault makes of the answer to a request."""
    service = small_service(ManualClock(), 30)
    service.faults.add(Fault(name))
    return service.handle(signed(page_query(2, 10)))


def test_refusals_have_the_documented_body() -> None:
    """What is refused with a code says all that the vendor's errors say; one says it in lower case."""
    answers = {name: answer(name) for name, fault in FAULTS.items() if "HTML" not in fault.description}
    refusals = {name: json.loads(each.body) for name, each in answers.items() if each.status not in {200, 302}}
    assert len(refusals) > 5
    assert set(refusals.pop("lower_case_error")) == {"code", "message", "requestId"}
    for name, body in refusals.items():
        assert set(body) == {"RequestId", "HostId", "Code", "Message", "Recommend"}, name


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
