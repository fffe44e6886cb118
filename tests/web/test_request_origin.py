"""Where requests come from: known hosts, and who may change something."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from exporter.web.addresses import KnownHosts, is_same_origin
from exporter.web.application import application
from tests.web.fake_view import FakeView, FixedClock

OURS = {"Host": "localhost:10678"}
CHANGING = ("/-/reload", "/apps/production/live-main/collect", "/metrics", "/nothing")


@pytest.fixture
def view() -> FakeView:
    """What is shown."""
    return FakeView()


@pytest.fixture
async def client(view: FakeView) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    """A client of a server that is published as `metrics.example.com` and may be called by any name of `corp`."""
    hosts = KnownHosts(["Machine.lan"], external_url="https://metrics.example.com/rtcmpu/", allowed=["*.corp"])
    app = application(view, FixedClock(), telemetry_path="/custom", enable_lifecycle=True, hosts=hosts)
    async with TestClient(TestServer(app, access_log=None)) as client:
        yield client


@pytest.mark.parametrize(
    ("headers", "is_ours"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://exporter:10678"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Origin": "http://exporter:10678"}, True),
        ({"Origin": "https://Exporter:10678"}, True),
        ({"Origin": "https://metrics.example.com"}, True),
        ({"Origin": "http://exporter"}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://[evil"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({}, True),
    ],
)
def test_only_our_own_pages_and_no_browser_may_begin_something(headers: dict[str, str], *, is_ours: bool) -> None:
    """What a browser says of the sender counts; what says nothing is a program, which nobody can trick."""
    assert is_same_origin(headers, ("exporter:10678", "metrics.example.com")) is is_ours


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:10678", 200),
        ("192.0.2.7", 200),
        ("[::1]:10678", 200),
        ("LOCALHOST.:10678", 200),
        ("machine.lan", 200),
        ("metrics.example.com", 200),
        ("metrics.example.com:8443", 200),
        ("a.b.corp:80", 200),
        ("corp", 403),
        ("evil.example:10678", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example", 403),
        ("localhost@evil.example", 403),
        ("127.0.0.1/@evil.example", 403),
        ("[::1", 403),
        ("a" * 5000, 403),
        ("", 403),
    ],
)
async def test_pages_answer_known_hosts_alone(
    client: TestClient[web.Request, web.Application], view: FakeView, host: str, status: int
) -> None:
    """An IP address, localhost, the machine's names, the external URL's and allowed ones; others read which flag."""
    for path in ("/", "/config", "/api/v1/apps"):
        async with client.get(path, headers={"Host": host}) as answer:
            assert answer.status == status
            assert status == 200 or "--web.allowed-host" in await answer.text()
    async with client.post("/-/reload", headers={"Host": host}) as answer:
        assert answer.status == status
    assert view.reloads == (status == 200)


@pytest.mark.parametrize("path", ["/custom", "/metrics/tasks", "/-/healthy", "/-/ready"])
async def test_scrapers_and_probes_may_use_any_name(
    client: TestClient[web.Request, web.Application], view: FakeView, path: str
) -> None:
    """They find the exporter by names of a cluster's or a list's own."""
    view.task_chunks = (b"",)
    async with client.get(path, headers={"Host": "exporter.monitoring.svc:10678"}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("path", CHANGING)
@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}])
async def test_nothing_is_changed_for_another_site(
    client: TestClient[web.Request, web.Application], view: FakeView, path: str, headers: dict[str, str]
) -> None:
    """Whatever the path is, a form of another site is refused before anything is done."""
    async with client.post(path, headers=OURS | headers, allow_redirects=False) as answer:
        assert answer.status == 403
        assert "cross-site" in await answer.text()
    assert (view.reloads, view.collected) == (0, [])


async def test_a_site_that_takes_a_name_of_its_own_for_us_is_another_site(
    client: TestClient[web.Request, web.Application], view: FakeView
) -> None:
    """After DNS rebinding, host and origin agree; both are wrong."""
    rebound = {"Host": "evil.example", "Origin": "http://evil.example"}
    for headers in (rebound, rebound | {"Sec-Fetch-Site": "same-origin"}):
        async with client.post("/-/reload", headers=headers) as answer:
            assert answer.status == 403
    assert view.reloads == 0


@pytest.mark.parametrize(
    "words",
    [
        {"external_url": "metrics.example.com"},
        {"external_url": "ftp://metrics.example.com"},
        {"external_url": "https://"},
        {"external_url": "https://user@metrics.example.com"},
        {"external_url": "https://metrics.example.com/?a=b"},
        {"external_url": "https://[metrics"},
        {"allowed": ["http://a.example"]},
        {"allowed": ["a.example:80"]},
        {"allowed": [""]},
    ],
)
def test_a_name_that_can_t_be_one_is_refused(words: dict[str, str]) -> None:
    """The error names the flag and what it expects."""
    with pytest.raises(ValueError, match=r"^--web\.(external-url|allowed-host)=.*: expected "):
        KnownHosts(**words)
