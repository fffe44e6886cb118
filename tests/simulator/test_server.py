"""The service on a socket."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from yarl import URL

from exporter.simulator.faults import Fault
from exporter.simulator.service import Service
from exporter.simulator.simulated_server import RunningServer, start
from tests.simulator.support import page_query, signed, small_service
from tests.support.monitored import until
from tests.support.virtual_time import SetClock


class Local:
    """A service on a socket, and a client for it."""

    clock: SetClock

    def __init__(self, service: Service, server: RunningServer, session: aiohttp.ClientSession) -> None:
        self.service = service
        self.server = server
        self.session = session

    async def ask(self, method: str = "POST", *, timeout_seconds: float = 5.0) -> aiohttp.ClientResponse:
        host = self.server.url.removeprefix("http://")
        request = signed(page_query(), method=method, headers={"host": host})
        url = URL(f"{self.server.url}/?{request.query}", encoded=True)
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        response = await self.session.request(
            method, url, headers=request.headers, timeout=timeout, allow_redirects=False
        )
        await response.read()
        return response

    async def control(self, method: str, path: str, body: Any = None) -> Any:
        """Ask something of the control paths; returns what they answer, or the status of an error."""
        async with self.session.request(method, f"{self.server.url}/-/{path}", json=body) as response:
            answer = await response.json()
            return answer if response.status == 200 else (response.status, answer["error"])


@pytest.fixture
async def local(clock: SetClock) -> AsyncIterator[Local]:
    """Three tasks behind a server."""
    service = small_service(clock, 3)
    server = await start(service)
    async with aiohttp.ClientSession() as session:
        local = Local(service, server, session)
        local.clock = clock
        yield local
    await server.close()


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_it_answers_over_http(local: Local, method: str) -> None:
    """Both methods bring the page, compressed on the way; its date is the simulated clock's, not the machine's."""
    response = await local.ask(method)
    assert (response.status, response.headers["Date"]) == (200, "Fri, 15 Jan 2027 08:00:00 GMT")
    assert response.headers["x-acs-request-id"] == (await response.json())["RequestId"]
    assert [task["TaskId"] for task in (await response.json())["MPUTasks"]] == ["task-2", "task-1", "task-0"]


async def test_a_reset_cuts_the_connection(local: Local) -> None:
    """The client sees a broken connection, and the next request is answered."""
    local.service.faults.add(Fault("reset", count=1))
    with pytest.raises(aiohttp.ClientConnectionError):
        await local.ask("POST")
    assert (await local.ask()).status == 200


@pytest.mark.parametrize("fault", ["hang", "slow"])
async def test_a_request_is_answered_late_or_never(local: Local, fault: str) -> None:
    """Latency is spent on the real clock; what hangs, the client has to give up by itself."""
    local.service.faults.add(Fault(fault))
    with pytest.raises(TimeoutError):
        await local.ask(timeout_seconds=0.3)


async def test_a_hanging_request_is_cut_off_in_the_end() -> None:
    """Even a client without patience of its own is let go some time."""
    service = small_service(SetClock(), 3)
    service.faults.add(Fault("hang"))
    server = await start(service, longest_hang_seconds=0.1)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await Local(service, server, session).ask()
    await server.close()


async def test_closing_does_not_wait_for_what_hangs() -> None:
    """A server with a hanging request closes immediately."""
    service = small_service(SetClock(), 3)
    service.faults.add(Fault("hang"))
    server = await start(service)
    async with aiohttp.ClientSession() as session:
        asked = asyncio.ensure_future(Local(service, server, session).ask())
        await until(lambda: service.statistics.requests == 1)
        await asyncio.wait_for(server.close(), 20)
        with pytest.raises(aiohttp.ClientConnectionError):
            await asked


async def test_a_port_in_use_is_an_error(local: Local) -> None:
    """A second server on the same port does not start."""
    port = URL(local.server.url).port or 0
    with pytest.raises(OSError, match="address already in use"):
        await start(local.service, "127.0.0.1", port)


async def test_tasks_are_made_and_changed(local: Local) -> None:
    """Tasks can be created, changed, deleted and listed."""
    await local.control("POST", "tasks", {"AppId": "app", "TaskId": "new", "Region": "EMAA-Saudi"})
    await local.control("PATCH", "tasks/app/task-0", {"MaxIdleTime": "60"})
    await local.control("DELETE", "tasks/app/task-1")
    rows = await local.control("GET", "tasks?app_id=app")
    assert [row["TaskId"] for row in rows] == ["task-0", "new", "task-2"]
    assert rows[0]["MaxIdleTime"] == "60"


async def test_fleet_and_statistics(local: Local) -> None:
    """The fleet has every app's rows as they are now; statistics say what was asked so far."""
    await local.ask()
    await local.control("POST", "tasks", {"AppId": "app", "TaskId": "new", "Region": "EMAA-Saudi"})
    fleet = await local.control("GET", "fleet")
    assert fleet == {"app": {"rows": await local.control("GET", "tasks?app_id=app"), "marked": {}}}
    assert (await local.control("GET", "stats"))["by_app"] == {"app": 1}


async def test_faults_are_controlled(local: Local) -> None:
    """Faults are switched on by name and off again."""
    await local.control("POST", "faults", {"name": "bad_gateway", "app_id": "app"})
    assert [fault["name"] for fault in await local.control("GET", "faults")] == ["bad_gateway"]
    assert (await local.ask()).status == 502
    assert await local.control("DELETE", "faults?name=hang") != []
    assert await local.control("DELETE", "faults") == []
    assert (await local.ask()).status == 200


async def test_variants_are_controlled(local: Local) -> None:
    """Variants that are named change, the others stay."""
    await local.control("POST", "variants", {"past_end": "last_page"})
    await local.control("POST", "variants", {"empty_app": "null"})
    variants = await local.control("GET", "variants")
    assert (variants["past_end"], variants["empty_app"], variants["compression"]) == ("last_page", "null", True)


async def test_churn_and_bursts_are_controlled(local: Local) -> None:
    """Rates are set, bursts happen in one moment, and a real server lets churn happen though nobody asks."""
    await local.control("POST", "burst", {"kind": "create", "app_id": "app", "count": 10})
    assert len(local.service.fleet.apps["app"]) == 13
    assert (await local.control("POST", "churn", {"create": 5}))["create"] == 5
    local.clock.seconds += 100
    await until(lambda: len(local.service.fleet.apps["app"]) > 300)
    assert await local.control("POST", "churn", {}) == {"update": 0, "create": 0, "delete": 0, "resave": 0}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "reason"),
    [
        ("GET", "tasks?app_id=unknown", None, 404, "unknown"),
        ("GET", "tasks", None, 404, "app_id"),
        ("DELETE", "tasks/app/nobody", None, 404, "nobody"),
        ("POST", "tasks", {"AppId": "unknown"}, 404, "unknown"),
        ("POST", "tasks", [1], 400, "Expected `object`"),
        ("POST", "faults", {"name": "nonsense"}, 400, "unknown fault 'nonsense'"),
        ("POST", "faults", {"name": "hang", "rate": 7}, 400, "expected 0 to 1"),
        ("POST", "variants", {"nonsense": 1}, 400, "nonsense"),
        ("POST", "variants", {"past_end": "nonsense"}, 400, "nonsense"),
        ("POST", "variants", {"lag_share": 2}, 400, "<= 1"),
        ("POST", "variants", {"clock_skew_seconds": 1e308}, 400, "<= 3"),
        ("POST", "churn", {"nonsense": 1}, 400, "nonsense"),
        ("POST", "churn", {"update": -1}, 400, ">= 0"),
        ("POST", "churn", {"update": 1e308}, 400, "<= 1000"),
        ("POST", "burst", {"kind": "create", "app_id": "app", "count": 10**18}, 400, "<= 100000"),
        ("POST", "burst", {"kind": "nonsense", "app_id": "app", "count": 1}, 400, "nonsense"),
        ("POST", "burst", {"kind": "update", "app_id": "unknown", "count": 1}, 404, "unknown"),
    ],
)
async def test_controls_that_make_no_sense_are_refused(
    local: Local, method: str, path: str, body: Any, status: int, reason: str
) -> None:
    """What is not there is 404, what is malformed 400; the reason names it."""
    found_status, found_reason = await local.control(method, path, body)
    assert found_status == status
    assert reason in found_reason
