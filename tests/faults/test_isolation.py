"""One account is broken in each of many ways, all in one daemon: the other one is fresh throughout."""

import asyncio
import math
import os
import random
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme
from aiohttp import web

from exporter.aliyun.sdk_credentials import OfficialSources
from exporter.collector.collector import Collector
from exporter.config.model import (
    AccessKey,
    Account,
    Collection,
    Config,
    CredentialsUri,
    EcsRamRole,
    OidcRoleArn,
    Profile,
    RamRoleArn,
)
from exporter.core.clock import SystemClock
from exporter.core.secret import Secret, SecretFile
from exporter.metrics.exposition import Exposition
from exporter.metrics.self_metrics import SelfMetrics
from exporter.rules.app_engine import AppPolicy
from exporter.rules.rule_loader import ConfigurationSource
from exporter.service.daemon import Daemon, Options
from exporter.simulator.faults import Fault
from tests.support.fake_service import Answer, serving
from tests.support.hostile import compressed_body
from tests.support.http import ask
from tests.support.monitored import KEY, Simulated, simulated, until
from tests.support.virtual_time import hanging_call

pytestmark = pytest.mark.simulations

COLLECTION = Collection(
    interval_seconds=0.2, sweep_interval_seconds=1.0, stale_after_seconds=60.0, request_timeout_seconds=3.0
)
LONGEST_AGE_SECONDS = 20.0
"""Of the data of the account that works: updates are due five times a second, on a machine with other work."""
WATCHED_SECONDS = 4.0
LONGEST_WATCH_SECONDS = 120.0
STATE = r'^rtcmpu_collection_state\{account="(.*)",app_id=".*",state="(.*)"\} 1\.0$'
FINE_DATA = r'^rtcmpu_collection_last_(?:update|sweep)_timestamp_seconds\{account="fine",.*\} (.*)$'
ROLE = "acs:ram::1:role/r"
FOREIGN = "user-4711".upper()


class Broken(NamedTuple):
    """One way to be broken, and what is said of it."""

    state: str
    reason: str  # a pattern
    account: Mapping[str, Any]  # what the account has otherwise than one that works


class Places(NamedTuple):
    """Where accounts can go wrong."""

    service: str  # a simulated service with the fault that the app's name is
    odd: str  # a server that answers as the app's name says
    tls: str  # a server with a certificate of an authority that nobody knows
    closed: str  # an address where nobody listens
    directory: Path


def _key(secret: Secret) -> Broken:
    return _refused(AccessKey(access_key_id=KEY.access_key_id, access_key_secret=secret))


def _refused(credentials: Any, reason: str = "") -> Broken:
    return Broken("auth_error", reason, {"credentials": credentials})


def _unreachable(reason: str = "", **parts: Any) -> Broken:
    return Broken("network_error", reason, parts)


def broken(at: Places) -> Mapping[str, Broken]:
    """Return all ways to be broken."""

    def file(name: str, content: bytes | None = None) -> SecretFile:
        if content is not None:
            (at.directory / name).write_bytes(content)
        return SecretFile(at.directory / name)

    os.mkfifo(at.directory / "fifo")
    no_token = OidcRoleArn(
        role_arn=ROLE, oidc_provider_arn="acs:ram::1:oidc-provider/p", oidc_token_file=at.directory / "none"
    )
    no_role = RamRoleArn(role_arn=ROLE, access_key_id="x", access_key_secret=file("none"), sts_endpoint="127.0.0.1:9")
    bug = Broken("internal_error", "^internal error: KeyError", {"endpoint": at.service})
    return {
        # Credentials
        "unknown-key": _refused(AccessKey(access_key_id="x", access_key_secret=Secret("y"))),
        "wrong-secret": _key(Secret("wrong"))._replace(reason="secret"),
        "no-secret-file": _key(file("none"))._replace(reason="cannot be read"),
        "empty-secret-file": _key(file("empty", b"\n")),
        "binary-secret-file": _key(file("binary", b"\xff\xfe\x00"))._replace(reason="UTF-8"),
        "fifo-as-secret": _key(file("fifo"))._replace(reason="regular file"),
        "device-as-secret": _key(SecretFile(Path("/dev/zero")))._replace(reason="regular file"),
        "large-secret-file": _key(file("large", bytes(100_000)))._replace(reason="larger"),
        "uri-refuses": _refused(CredentialsUri(uri=f"{at.closed}/key")),
        "uri-is-no-json": _refused(CredentialsUri(uri=f"{at.odd}/?AppId=html")),
        "uri-hangs": _refused(CredentialsUri(uri=f"{at.odd}/?AppId=hang"), "no credentials|reached"),
        "no-oidc-token": _refused(no_token),
        "no-such-profile": _refused(Profile(profile="nobodys")),
        "no-role-to-assume": _refused(no_role),
        "provider-raises": _refused(EcsRamRole(role_name="raises")),
        "provider-exits": _refused(EcsRamRole(role_name="exits")),
        **{
            f"provider-hangs-{number}": _refused(EcsRamRole(role_name="hangs"), "no credentials within")
            for number in range(8)
        },
        # Hosts
        "closed-port": _unreachable("127.0.0.1:.* refuses connections", endpoint=at.closed),
        "no-such-host": _unreachable("nowhere.invalid cannot be resolved", endpoint="http://nowhere.invalid"),
        "name-with-empty-label": _unreachable(endpoint="http://live..example.com"),
        "name-with-long-label": _unreachable(endpoint=f"http://{'a' * 70}.example.com"),
        "names-hang-1": Broken("timeout", "", {"endpoint": "http://hang-1.test"}),
        "names-hang-2": Broken("timeout", "", {"endpoint": "http://hang-2.test"}),
        "tls-to-plain-port": _unreachable("no TLS with 127.0.0.1", endpoint=at.odd.replace("http:", "https:")),
        "unknown-authority": _unreachable("certificate.*set ca_file", endpoint=at.tls),
        "ca-file-goes": _unreachable(endpoint=at.tls, ca_file=at.directory / "ca.pem"),
        # Proxies
        "closed-proxy": _unreachable("proxy", proxy=at.closed),
        "no-such-proxy": _unreachable("proxy", proxy="http://nowhere.invalid:3128"),
        "proxy-with-bad-name": _unreachable(proxy=f"http://{'a' * 70}.invalid:3128"),
        "proxy-of-another-kind": _unreachable(proxy="socks5://127.0.0.1:1080"),
        # Services
        **{name: Broken(state, "", {"endpoint": at.odd, "apps": name}) for name, (state, _) in ODD.items()},
        "not-enabled": Broken("not_enabled", "", {"endpoint": at.service, "apps": "app-2"}),
        "no-such-app": Broken("app_invalid", "", {"endpoint": at.service, "apps": "nobodys"}),
        # The exporter itself
        **dict.fromkeys(("bug-in-sweep", "bug-in-rules", "bug-in-rendering"), bug),
    }


def _account(name: str, what: Broken, fine: Simulated) -> Account:
    """Return an account that is broken in one way, and in no other."""
    parts = dict(what.account)
    app_id = parts.pop("apps", "app-1")
    return fine.account(app_id, name=name).changed(**parts)


async def _hang(_request: web.BaseRequest) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


async def _drip(request: web.BaseRequest) -> web.StreamResponse:
    """Answer a byte at a time."""
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(600):
        await response.write(b" ")
        await asyncio.sleep(0.1)
    return response


def _answer(body: str | bytes, status: int = 200, **headers: str) -> Answer:
    named = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _request: web.Response(body=body, status=status, headers=named)


def _huge(request: web.BaseRequest) -> web.StreamResponse | Awaitable[web.StreamResponse]:
    """Answer 80 MB, which are compressed when they are asked for: each worker imports this module."""
    return _answer(compressed_body("spaces"), Content_Encoding="gzip")(request)


ODD: Mapping[str, tuple[str, Answer]] = {
    "hang": ("timeout", _hang),
    "drip": ("timeout", _drip),
    "html": ("invalid_response", _answer("<html>")),
    "throttled": ("throttled", _answer('{"Code": "Throttling.User"}', 429)),
    "huge": ("invalid_response", _huge),
    "deep": ("invalid_response", _answer('{"RequestId": "r", "MPUTasks":' + "[" * 100_000)),
}
"""What a server answers that costs something, and what is said of it; `test_odd_answers.py` has all that is odd."""


async def _odd(request: web.BaseRequest) -> web.StreamResponse:
    answer = ODD[request.query["AppId"]][1](request)
    return answer if isinstance(answer, web.StreamResponse) else await answer


def _break(patch: pytest.MonkeyPatch, hang: Callable[..., Any]) -> None:
    """Put bugs into the exporter, threads that hang, and names that never come, for the accounts that say so."""
    set_up, fetch = OfficialSources.__init__, OfficialSources.fetch
    look_up, of_key = socket.getaddrinfo, Exposition.update

    def with_role(this: Any, kind: Any, **more: Any) -> None:
        set_up(this, kind, **more)
        this.role = getattr(kind, "role_name", "")

    def fetched(this: Any) -> Any:
        raised = {"raises": KeyError(FOREIGN), "exits": SystemExit(1)}
        if this.role in raised:
            raise raised[this.role]
        return hang() if this.role == "hangs" else fetch(this)

    def looked_up(host: str, *rest: Any, **more: Any) -> Any:
        return hang() if str(host).startswith("hang-") else look_up(host, *rest, **more)

    def updated(this: Any, key: tuple[str, ...], report: Any) -> None:
        if key[0] == "bug-in-rendering" and report.aggregates is not None:
            raise KeyError(FOREIGN)
        of_key(this, key, report)

    def failing(original: Callable[..., Any], account: str, of: Callable[[Any], str]) -> Callable[..., Any]:
        def method(this: Any, *arguments: Any, **more: Any) -> Any:
            if of(this) == account:
                raise KeyError(FOREIGN)
            return original(this, *arguments, **more)

        return method

    patch.setattr(OfficialSources, "__init__", with_role)
    patch.setattr(OfficialSources, "fetch", fetched)
    patch.setattr(socket, "getaddrinfo", looked_up)
    patch.setattr(Exposition, "update", updated)
    patch.setattr(Collector, "_sweep", failing(Collector._sweep, "bug-in-sweep", lambda this: this.account))
    patch.setattr(AppPolicy, "step", failing(AppPolicy.step, "bug-in-rules", lambda this: this.key[0]))
    patch.setattr("exporter.aliyun.credentials.FETCH_DEADLINE_SECONDS", 1.0)


@asynccontextmanager
async def _places(directory: Path) -> AsyncIterator[Places]:
    """Serve everything that goes wrong."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(directory / "ca.pem"))

    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    async with simulated() as service, serving(_odd) as odd, serving(_odd, tls=tls) as encrypted:
        service.service.faults.add(Fault("not_enabled", app_id="app-2"))
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{closed.getsockname()[1]}"
            yield Places(service.url, odd.address, encrypted.address, address, directory)


async def test_the_trouble_of_one_account_reaches_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account that works is fresh throughout; each broken one has the state that fits, and a reason."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with hanging_call() as hang:
        _break(monkeypatch, hang)
        async with simulated() as fine, _places(tmp_path) as places:
            ways = broken(places)
            accounts = [_account(name, what, fine) for name, what in ways.items()]
            config = Config(accounts=(*accounts, fine.account("app-1", name="fine")), collection=COLLECTION)
            daemon = Daemon(
                ConfigurationSource.of_config(config),
                Options(listen_addresses=("127.0.0.1:0",)),
                SelfMetrics(version="0"),
                clock=SystemClock(),
                rng=random.Random(1),  # noqa: S311 - no secret
            )
            running = asyncio.create_task(daemon.run())
            try:
                await daemon.wait_until_listening(running)

                async def is_published() -> bool:
                    return _states(await _metrics(daemon))["fine"] == "ok"

                await until(is_published)
                wrong = await _watch(daemon, ways)
            finally:
                daemon.stop()
                await asyncio.wait_for(running, timeout=60)
    assert wrong == {}
    assert len(ways) >= 30


async def _metrics(daemon: Daemon) -> str:
    return (await asyncio.to_thread(ask, f"http://{daemon.addresses[0]}/metrics")).text


def _states(text: str) -> dict[str, str]:
    """Return the state of each account's app."""
    return dict(re.findall(STATE, text, re.MULTILINE))


def _status(daemon: Daemon, account: str) -> Any:
    return next(view.status for view in daemon.view.statuses() if view.status.account == account)


async def _watch(daemon: Daemon, ways: Mapping[str, Broken]) -> Mapping[str, str]:
    """Look at the account that works until all others are as they should, and it was read after that.

    Return what is not as it should be.
    """
    began, all_broken, newest = time.time(), math.inf, 0.0
    wrong: Mapping[str, str] = {"": "not looked at"}
    while time.time() - began < LONGEST_WATCH_SECONDS and newest < max(all_broken, began + WATCHED_SECONDS):
        text = await _metrics(daemon)
        states = _states(text)
        assert states["fine"] == "ok", _status(daemon, "fine").reason
        newest = max(map(float, re.findall(FINE_DATA, text, re.MULTILINE)))
        assert time.time() - newest < LONGEST_AGE_SECONDS
        assert re.search(r'^rtcmpu_tasks\{account="fine",', text, re.MULTILINE)
        wrong = {}
        up = re.findall(r'^rtcmpu_up\{account="(.*)",app_id=".*"\} 1\.0$', text, re.MULTILINE)
        assert "fine" in up
        for name, what in ways.items():
            status = _status(daemon, name)
            is_shown = states[name] == what.state and name not in up
            if not (is_shown and status.reason and re.search(what.reason, status.reason)):
                wrong[name] = f"{status.state}: {status.reason}"
        all_broken = math.inf if wrong else min(all_broken, time.time())
        await asyncio.sleep(0.2)
    return wrong
