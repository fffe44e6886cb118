"""The accesses of a configuration against a service: what accounts share, and what a change leaves behind."""

import asyncio
import random
import time
from bisect import bisect_right
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import aiohttp
import pytest
from aiohttp import web

from exporter.aliyun.errors import ApiError
from exporter.aliyun.transport import open_session
from exporter.collector.rate_limiter import Priority
from exporter.collector.reading import Window
from exporter.commands import ExitCode
from exporter.commands.check_config import check_config
from exporter.config.model import AccessKey, Account, App, Config, CredentialsUri, DefaultChain
from exporter.core.clock import SystemClock
from exporter.core.secret import Secret, SecretFile
from exporter.core.threads import Worker
from exporter.metrics.self_metrics import SelfMetrics
from exporter.rules.rule_loader import ConfigurationSource
from exporter.service.accounts import Accesses
from exporter.simulator.fleet import Fleet
from exporter.simulator.protocol import Request, SimulatedAccount, expected_signature
from exporter.simulator.service import Service
from tests.support.command_line import logging_restored
from tests.support.fake_service import ServiceSession, serving
from tests.support.virtual_time import VirtualClock, at_once, on_virtual_time

RATE = 10
KEY = AccessKey(access_key_id="id", access_key_secret=Secret("secret"))
TOKEN = {
    "Code": "Success",
    "AccessKeyId": "STS.id",
    "AccessKeySecret": "s",
    "SecurityToken": "t",
    "Expiration": "2100-01-01T00:00:00Z",
}


class Arrivals:
    """Answers with empty pages, or refusals, and remembers when requests came."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.refused_secrets = 0

    def answer(self, _request: web.BaseRequest) -> web.StreamResponse:
        self.times.append(time.monotonic())
        if self.refused_secrets:
            self.refused_secrets -= 1
            return web.json_response({"RequestId": "r", "Code": "SignatureDoesNotMatch"}, status=400)
        return web.json_response({"RequestId": "r", "MPUTasks": []})

    def most_in_a_second(self) -> int:
        times = sorted(self.times)
        return max(bisect_right(times, first + 1.0) - place for place, first in enumerate(times))


def simulated() -> Service:
    """Return a service on virtual time that knows the key."""
    now = VirtualClock().now
    fleet = Fleet(now)
    fleet.add_app("a")
    return Service([SimulatedAccount("id", "secret", ("a",))], fleet, now=now)


@asynccontextmanager
async def opened(*accounts: Account, service: Service | None = None) -> AsyncIterator[tuple[Accesses, SelfMetrics]]:
    """Open accounts, of a service that listens or of a simulated one."""
    metrics, rng = SelfMetrics(version="0"), random.Random(1)  # noqa: S311 - no secret
    if service is None:
        accesses = Accesses(metrics, clock=SystemClock(), rng=rng, open_session=open_session)
    else:
        session = cast("aiohttp.ClientSession", ServiceSession(service))
        accesses = Accesses(metrics, clock=VirtualClock(), rng=rng, open_session=lambda **_: session)
    await accesses.apply(Config(accounts=accounts))
    try:
        yield accesses, metrics
    finally:
        await accesses.close()


def account(name: str, address: str = "http://service.test", **more: object) -> Account:
    """Return an account with one app."""
    settings = {"endpoint": address, "requests_per_second": RATE, "credentials": KEY, "apps": (App(id="a"),)}
    return Account(name=name, **{**settings, **more})  # type: ignore[arg-type]


def secret_of(request: web.BaseRequest, *secrets: str) -> str:
    """Return which of the secrets signed a request."""
    headers = {name.lower(): value for name, value in request.headers.items()}
    _, names, signature = (part.partition("=")[2] for part in headers["authorization"].split(","))
    sent = Request(query=request.rel_url.raw_query_string, headers=headers)
    (found,) = (secret for secret in secrets if expected_signature(sent, names.split(";"), secret) == signature)
    return found


async def ask(accesses: Accesses, name: str) -> None:
    """Send one request of an account."""
    await accesses[name].requests.of_app("a").window(Priority.UPDATE)(Window(1, 1))


@on_virtual_time
async def test_one_key_from_two_sources_is_one_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the file and the same one from the default chain share a limiter from the first request on."""
    monkeypatch.setattr(Worker, "run", at_once)
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "secret")
    service = simulated()
    async with opened(account("a"), account("b", credentials=DefaultChain()), service=service) as (accesses, _):
        await asyncio.gather(*(ask(accesses, name) for name in "ab" for _ in range(RATE)))
    assert service.statistics.requests == 2 * RATE
    assert service.statistics.busiest_second["id"] <= RATE


@on_virtual_time
async def test_the_first_second_belongs_to_the_process_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent until all that a process before this one may have sent is a second old."""
    monkeypatch.setattr(Worker, "run", at_once)
    service = simulated()
    for _ in range(2):
        async with opened(account("a"), service=service) as (accesses, _metrics):
            await asyncio.gather(*(ask(accesses, "a") for _ in range(RATE)))
    assert service.statistics.requests == 2 * RATE
    assert service.statistics.busiest_second["id"] <= RATE


@pytest.mark.usefixtures("no_process_before")
async def test_a_probe_keeps_the_budget_that_accounts_share(capsys: pytest.CaptureFixture[str]) -> None:
    """Many accounts of one key are probed within its rate; one that fails hides none of the others."""
    arrivals = Arrivals()
    async with serving(arrivals.answer) as service:
        accounts = [account(f"a{number}", service.address) for number in range(2 * RATE)]
        accounts.append(account("bad", "http://nowhere.invalid"))
        source = ConfigurationSource.of_config(Config(accounts=tuple(accounts)))
        with logging_restored():
            assert await asyncio.to_thread(check_config, source, Path("x.yml"), probe=True) == ExitCode.UNREAD
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.endswith("ok: it has no task") for line in lines) == 2 * RATE
    assert any(line.startswith("bad/a: network_error: ") for line in lines)
    assert arrivals.most_in_a_second() <= RATE


@pytest.mark.usefixtures("no_process_before")
async def test_a_rotated_secret_is_used_at_once(tmp_path: Path) -> None:
    """The next request is signed with what the file holds then; a refusal of that is an error."""
    path = tmp_path / "secret"
    path.write_text("old")
    arrivals = Arrivals()
    async with serving(arrivals.answer) as service:
        key = AccessKey(access_key_id="id", access_key_secret=SecretFile(path))
        async with opened(account("a", service.address, credentials=key)) as (accesses, _):
            await ask(accesses, "a")
            path.write_text("new")
            await ask(accesses, "a")
            arrivals.refused_secrets = 1
            with pytest.raises(ApiError, match="does not match"):
                await ask(accesses, "a")
    assert [secret_of(request, "old", "new") for request in service.requests] == ["old", "new", "new"]


@pytest.mark.usefixtures("no_process_before")
async def test_a_key_that_comes_after_a_reload_is_not_in_use() -> None:
    """A request that waits for the key before signs with it, but what is published is the key in force."""
    may_answer, asked = asyncio.Event(), asyncio.Event()

    async def late(_: web.BaseRequest) -> web.StreamResponse:
        asked.set()
        await may_answer.wait()
        return web.json_response(TOKEN)

    async with serving(late) as tokens, serving(Arrivals().answer) as service:
        uri = CredentialsUri(uri=f"{tokens.address}/key")
        async with opened(account("a", service.address, credentials=uri)) as (accesses, metrics):
            waiting = asyncio.create_task(ask(accesses, "a"))
            await asked.wait()
            await accesses.apply(Config(accounts=(account("a", service.address),)))
            await ask(accesses, "a")
            may_answer.set()
            await waiting
            text = metrics.render()[False].decode()
            assert 'credentials_info{account="a",source="access_key"} 1' in text
            assert "credentials_uri" not in text
            assert accesses["a"].access_key_id == "id"


@pytest.mark.usefixtures("no_process_before")
async def test_a_permanent_key_ends_the_expiry() -> None:
    """With the reload that takes the temporary key away its expiry ends, and its source with the next request."""
    async with serving(lambda _: web.json_response(TOKEN)) as tokens, serving(Arrivals().answer) as service:
        uri = CredentialsUri(uri=f"{tokens.address}/key")
        async with opened(account("a", service.address, credentials=uri)) as (accesses, metrics):
            await ask(accesses, "a")
            text = metrics.render()[False].decode()
            assert 'credentials_info{account="a",source="credentials_uri"} 1' in text
            assert "rtcmpu_exporter_credentials_expiry_timestamp_seconds{" in text
            await accesses.apply(Config(accounts=(account("a", service.address),)))
            await ask(accesses, "a")
            text = metrics.render()[False].decode()
            assert 'credentials_info{account="a",source="access_key"} 1' in text
            assert "credentials_uri" not in text
            assert "rtcmpu_exporter_credentials_expiry_timestamp_seconds{" not in text
