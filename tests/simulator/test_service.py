"""The service as a whole, without HTTP."""

import json
import re
import zlib
from email.utils import parsedate_to_datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.simulator.faults import Fault
from exporter.simulator.fleet import Fleet, Rates, populate
from exporter.simulator.protocol import Response, SimulatedAccount
from exporter.simulator.service import Latency, RequestQuota, Service
from exporter.simulator.task_maker import seeded
from tests.simulator.support import ACCOUNT, START, code, page_query, signed, small_service, task_ids
from tests.support.shared_quota import SharedQuota, Window
from tests.support.virtual_time import SetClock


def test_other_actions_and_versions_do_not_exist(clock: SetClock) -> None:
    """There is one operation in one version."""
    service = small_service(clock)
    other_action = service.handle(signed(page_query(), headers={"x-acs-action": "StopRtcMPUTask"}))
    assert (other_action.status, code(other_action)) == (404, "InvalidAction.NotFound")
    other_version = service.handle(signed(page_query(), headers={"x-acs-version": "2014-05-26"}))
    assert (other_version.status, code(other_version)) == (400, "InvalidVersion")


def test_answers_are_compressed_for_those_who_accept_it(clock: SetClock) -> None:
    """Compression is an answer to Accept-Encoding, unless the variant says otherwise."""
    request = signed(page_query(), unsigned={"accept-encoding": "gzip, deflate"})
    response = small_service(clock, 30).handle(request)
    assert response.headers["Content-Encoding"] == "gzip"
    assert len(task_ids(zlib.decompress(response.body, wbits=31))) == 30
    for service, asked in (
        (small_service(clock, 30, compression=False), request),
        (small_service(clock, 30), signed(page_query())),
    ):
        plain = service.handle(asked)
        assert "Content-Encoding" not in plain.headers
        assert len(task_ids(plain.body)) == 30


def test_the_servers_clock_may_be_off(clock: SetClock) -> None:
    """With a skew, a right date is refused, the Date header tells by how much, and a corrected date is accepted."""
    service = small_service(clock, 3, clock_skew_seconds=3600)
    refused = service.handle(signed(page_query()))
    assert code(refused) == "InvalidTimeStamp.Expired"
    servers_time = parsedate_to_datetime(refused.headers["Date"]).timestamp()
    assert servers_time == START + 3600
    assert service.handle(signed(page_query(), date=servers_time)).status == 200


def test_accounts_have_their_own_keys_apps_and_limits(clock: SetClock) -> None:
    """What one account uses up is not missing to another, and its apps are unknown to others."""
    fleet = Fleet(clock.now)
    accounts = []
    for app_id in ("one", "two"):
        fleet.add_app(app_id)
        accounts.append(SimulatedAccount(f"{app_id}-id", f"{app_id}-secret", (app_id,), requests_per_second=3))
    service = Service(accounts, fleet, now=clock.now)
    one, two = accounts
    statuses = [service.handle(signed(page_query(app_id="one"), account=one)).status for _ in range(4)]
    assert statuses == [200, 200, 200, 400]
    assert service.handle(signed(page_query(app_id="two"), account=two)).status == 200
    clock.seconds += 1
    assert code(service.handle(signed(page_query(app_id="two"), account=one, date=clock.now()))) == "InvalidAppId"


def test_the_limit_is_fifty_a_second(clock: SetClock) -> None:
    """By default no window of one second has more than fifty answers; what is over it is Throttling.User."""
    service = small_service(clock, 3)
    codes = []
    for _ in range(120):
        clock.seconds += 1 / 64
        codes.append(code(service.handle(signed(page_query(), date=clock.now()))))
    assert codes[:64] == [""] * 50 + ["Throttling.User"] * 14
    assert codes[64:] == [""] * 50 + ["Throttling.User"] * 6
    assert service.statistics.rejected_by_quota == {"key-id": 20}


def test_statistics_tell_what_arrived(clock: SetClock) -> None:
    """Requests are counted by app, kind, error, and by the busiest second."""
    service = small_service(clock, 3)
    for at in (0.0, 0.5, 0.9, 1.2, 1.4):
        clock.seconds = at
        service.handle(signed(page_query(), date=clock.now()))
    again = signed({"AppId": "app", "TaskId": "task-1"}, date=clock.now())
    service.handle(again)
    service.handle(again)
    service.handle(signed(page_query(), account=SimulatedAccount("key-id", "wrong", ()), date=clock.now()))
    found = msgspec.to_builtins(service.statistics)
    assert found == {
        "requests": 8,
        "by_app": {"app": 6},
        "by_kind": {"page": 5, "look_up": 1},
        "by_error": {"SignatureNonceUsed": 1, "SignatureDoesNotMatch": 1},
        "by_fault": {},
        "rejected_by_quota": {},
        "busiest_second": {"key-id": 5},
    }


def test_each_answer_has_a_request_id_of_its_own(clock: SetClock) -> None:
    """RequestIds look like the vendor's and do not repeat, in errors neither."""
    service = small_service(clock, 3)
    queries = [page_query()] * 5 + [page_query(app_id="unknown")] * 5
    ids = {json.loads(service.handle(signed(query)).body)["RequestId"] for query in queries}
    assert len(ids) == 10
    assert all(re.fullmatch(r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}", request_id) for request_id in ids)


def test_latency_is_at_least_and_at_most(clock: SetClock) -> None:
    """Both directions take their time, with jitter."""
    fleet = Fleet(clock.now)
    fleet.add_app("app")
    service = Service([ACCOUNT], fleet, now=clock.now, latency=Latency(0.1, 0.05))
    delays = [service.inbound_delay_seconds() for _ in range(300)]
    delays += [service.handle(signed(page_query())).delay_seconds for _ in range(300)]
    assert all(0.1 <= delay <= 0.15 for delay in delays)
    assert max(delays) - min(delays) > 0.04


def run(seed: int) -> list[Response]:
    """Return the answers of one seed to the same hundred requests, with everything random switched on."""
    clock = SetClock()
    fleet = Fleet(clock.now)
    populate(fleet, "app", 250, random=seeded(seed, "app"), started_at=clock.now())
    service = Service([ACCOUNT], fleet, now=clock.now, seed=seed, latency=Latency(0.01, 0.02))
    service.variants = service.variants.changed({"ties": "changing", "lag_seconds": 0.5})
    service.churn.set_rates(Rates.mixture(20), clock.now())
    service.faults.add(Fault("internal_error", 0.2))
    answers = []
    for number in range(100):
        clock.seconds += 0.1
        answers.append(service.handle(signed(page_query(number % 4 + 1), date=clock.now())))
    return answers


def test_the_same_seed_gives_the_same_answers() -> None:
    """Tasks, churn, faults, latency and identifiers all follow from the seed."""
    assert run(7) == run(7)
    assert run(7) != run(8)


ARRIVALS = st.lists(st.integers(0, 400), min_size=1, max_size=200).map(
    lambda gaps: [sum(gaps[: place + 1]) / 1024 for place in range(len(gaps))]
)


def admitted(quota: RequestQuota, arrivals: list[float]) -> list[float]:
    """Return the arrivals that are let in."""
    return [at for at in arrivals if quota.admit(at)]


@given(arrivals=ARRIVALS, limit=st.integers(1, 10))
def test_a_sliding_window_never_has_more_than_the_limit(arrivals: list[float], limit: int) -> None:
    """Whatever arrives, no second holds more than the limit, and nothing is refused without need."""
    inside = admitted(RequestQuota(limit), arrivals)
    assert admitted(SharedQuota(limit), arrivals) == inside
    for at in arrivals:
        assert sum(at - 1 < other <= at for other in inside) <= limit
    for at in set(arrivals) - set(inside):
        assert sum(at - 1 < other <= at for other in inside) == limit


@pytest.mark.parametrize(
    ("window", "second_burst"), [("sliding", 0), ("fixed", 50), ("bucket", 10)], ids=["sliding", "fixed", "bucket"]
)
def test_two_bursts_over_a_border_of_seconds(window: Window, second_burst: int) -> None:
    """Fifty at 0.9 s and fifty at 1.11 s: the three ways of counting disagree on the second fifty."""
    quota = SharedQuota(50, window)
    assert len(admitted(quota, [100.9] * 50)) == 50
    assert len(admitted(quota, [101.11] * 50)) == second_burst


@pytest.mark.parametrize("window", ["sliding", "fixed", "bucket"])
def test_others_and_we_share_a_limit(window: Window) -> None:
    """With 20 requests a second by others, 28 a second of ours are let in; anyone who asks for more starves both."""
    polite = SharedQuota(50, window, others_per_second=20)
    arrivals = [place / 28 for place in range(280)]
    assert admitted(polite, arrivals) == arrivals
    assert polite.others_refused == 0
    greedy = SharedQuota(50, window, others_per_second=20)
    inside = admitted(greedy, [place / 100 for place in range(1000)])
    assert len(inside) < 500
    assert greedy.others_refused > 50


def test_what_others_asked_for_long_ago_is_forgotten() -> None:
    """After an hour without a request the others have used up one second's share, no more."""
    quota = SharedQuota(50, "sliding", others_per_second=25)
    quota.admit(0.0)
    assert 24 <= len(admitted(quota, [3600.0] * 50)) <= 25
