"""Everything below a path with and without a proxy; known hosts, and who may change something."""

import re
from collections.abc import AsyncIterator, Callable
from functools import partial
from itertools import product
from urllib.parse import urljoin

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from exporter.config.mistakes import UsageError
from exporter.web.addresses import KnownHosts, UrlPrefix, is_same_origin, url_prefix
from tests.web.api.api_view import full_view
from tests.web.fake_view import Client, FakeView, app_view, client_of, entry, recorded

PUBLISHED = "https://metrics.example.com/live/rtcmpu/"
_ADDRESS = re.compile(r'(?:href|src|action)="([^"]*)"')


@pytest.mark.parametrize(
    ("external_url", "route_prefix", "expected"),
    [
        (None, None, ("", "")),
        ("https://metrics.example.com", None, ("", "")),
        (PUBLISHED, None, ("/live/rtcmpu", "/live/rtcmpu")),
        (PUBLISHED, "/", ("", "/live/rtcmpu")),
        (PUBLISHED, "inner/", ("/inner", "/live/rtcmpu")),
        (None, "/inner", ("/inner", "/inner")),
    ],
)
def test_the_route_prefix_defaults_to_the_path_of_the_external_url(
    external_url: str | None, route_prefix: str | None, expected: tuple[str, str]
) -> None:
    """Links have the external path; routes have it too unless the route prefix says otherwise."""
    assert url_prefix(external_url, route_prefix) == expected


@pytest.fixture(params=["stripping", "passing on"])
async def proxied(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """A client of a proxy that publishes an exporter below a path."""
    strips = request.param == "stripping"
    prefix = url_prefix(PUBLISHED, "/" if strips else None)
    hosts = KnownHosts(external_url=PUBLISHED)
    view = FakeView([app_view({("CN-Shanghai", "mixed"): 3})])
    view.put([entry("task-1"), entry("task-2"), entry("a/b %2f")])
    view.violations = full_view().violations
    view.recorded = [recorded(1)]
    async with client_of(view, enable_lifecycle=True, hosts=hosts, prefix=prefix) as exporter:

        async def forward(request: web.Request) -> web.Response:
            path = request.raw_path.removeprefix(prefix.links) if strips else request.raw_path
            headers = {"Host": "metrics.example.com", "Accept-Encoding": "identity"}
            headers |= {k: v for k, v in request.headers.items() if k == "Origin"}
            url, body = URL(path, encoded=True), await request.read()
            found = await exporter.request(request.method, url, headers=headers, allow_redirects=False, data=body)
            kept = {k: v for k, v in found.headers.items() if k in {"Location", "Content-Type"}}
            return web.Response(status=found.status, headers=kept, body=await found.read())

        proxy = web.Application()
        proxy.router.add_route("*", prefix.links + "{path:.*}", forward)
        async with TestClient(TestServer(proxy, access_log=None)) as client:
            yield client


async def test_every_link_form_and_file_works_behind_a_proxy(proxied: Client) -> None:
    """All that pages lead to is found below the external path, from the first page on."""
    root = "/live/rtcmpu/"
    waiting, seen = [root], set[str]()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = await proxied.get(URL(path, encoded=True))
        assert answer.status == 200, path
        if answer.content_type == "text/html":
            links = [one.replace("&amp;", "&") for one in _ADDRESS.findall(await answer.text())]
            local = {urljoin(path, link).partition("#")[0] for link in links if not link.startswith("https://runbooks")}
            assert all(link.startswith(root) for link in local), (path, sorted(local))
            waiting += local - seen
    expected = "static/style.css static/pages.js metrics config violations rules -/ready -/healthy"
    assert {root + name for name in expected.split()} <= seen
    assert len(seen) > 20


async def test_a_form_leads_back_below_the_path(proxied: Client) -> None:
    """A reading on demand redirects to its page; errors link below the path, and the API names its address."""
    form = await proxied.post(
        "/live/rtcmpu/apps/production/live-main/collect",
        headers={"Origin": "https://metrics.example.com"},
        allow_redirects=False,
    )
    assert (form.status, form.headers["Location"]) == (303, "/live/rtcmpu/apps/production/live-main/collect")
    bad = await proxied.get("/live/rtcmpu/violations?page=x")
    assert bad.status == 400
    assert 'href="/live/rtcmpu/violations"' in await bad.text()
    missing = await proxied.get("/live/rtcmpu/apps/production/none")
    assert 'href="/live/rtcmpu/"' in await missing.text()
    description = await (await proxied.get("/live/rtcmpu/api/v1/openapi.json")).json()
    assert description["servers"] == [{"url": "/live/rtcmpu"}]
    error = await proxied.get("/live/rtcmpu/api/v1/nothing")
    assert (error.status, error.content_type) == (404, "application/json")


async def test_everything_is_below_the_route_prefix() -> None:
    """The root redirects to the prefix; metrics and health checks answer any host below it and are counted as ever."""
    view = full_view()
    async with client_of(view, prefix=UrlPrefix("/inner", "/inner")) as client:
        for path in ("/", "/inner"):
            answer = await client.get(path, allow_redirects=False)
            assert (answer.status, answer.headers["Location"]) == (302, "/inner/")
        for path in ("/metrics", "/-/healthy", "/-/ready"):
            view.finished.clear()
            assert (await client.get(f"/inner{path}", headers={"Host": "evil.example"})).status == 200
            assert view.finished == [(path, 200)]
            assert (await client.get(path)).status == 404
        for path in ("/", "/inner/", "/inner/config", "/inner/api/v1/apps"):
            assert (await client.get(path, headers={"Host": "evil.example"}, allow_redirects=False)).status == 403


OURS = {"Host": "localhost:10678"}
CHANGING = ("/-/reload", "/apps/production/live-main/collect", "/metrics", "/nothing")


@pytest.fixture
def view() -> FakeView:
    """What is shown."""
    return FakeView()


@pytest.fixture
async def client(view: FakeView) -> AsyncIterator[Client]:
    """A client of a server that is published as `metrics.example.com` and may be called by any name of `corp`."""
    hosts = KnownHosts(["Machine.lan"], external_url="https://metrics.example.com/rtcmpu/", allowed=["*.corp"])
    async with client_of(view, telemetry_path="/custom", enable_lifecycle=True, hosts=hosts) as client:
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
async def test_pages_answer_known_hosts_alone(client: Client, view: FakeView, host: str, status: int) -> None:
    """An IP address, localhost, the machine's names, the external URL's and allowed ones; others read which flag."""
    for path in ("/", "/config", "/api/v1/apps"):
        async with client.get(path, headers={"Host": host}) as answer:
            assert answer.status == status
            assert status == 200 or "--web.allowed-host" in await answer.text()
    async with client.post("/-/reload", headers={"Host": host}) as answer:
        assert answer.status == status
    assert view.reloads == (status == 200)


async def test_scrapers_and_probes_may_use_any_name(client: Client, view: FakeView) -> None:
    """They find the exporter by names of a cluster's or a list's own."""
    view.task_chunks = (b"",)
    for path in ("/custom", "/metrics/tasks", "/-/healthy", "/-/ready"):
        async with client.get(path, headers={"Host": "exporter.monitoring.svc:10678"}) as answer:
            assert answer.status == 200, path


async def test_nothing_is_changed_for_another_site(client: Client, view: FakeView) -> None:
    """Whatever the path is, a form of another site is refused before anything is done."""
    for path, headers in product(CHANGING, ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"})):
        async with client.post(path, headers=OURS | headers, allow_redirects=False) as answer:
            assert answer.status == 403, path
            assert "cross-site" in await answer.text(), path
    assert (view.reloads, view.collected) == (0, [])


async def test_a_site_that_takes_a_name_of_its_own_for_us_is_another_site(client: Client, view: FakeView) -> None:
    """After DNS rebinding, host and origin agree; both are wrong."""
    rebound = {"Host": "evil.example", "Origin": "http://evil.example"}
    for headers in (rebound, rebound | {"Sec-Fetch-Site": "same-origin"}):
        async with client.post("/-/reload", headers=headers) as answer:
            assert answer.status == 403
    assert view.reloads == 0


@pytest.mark.parametrize(
    "make",
    [
        *(partial(url_prefix, f"https://a.example/{rest}", None) for rest in ("{x}", "a/../b")),
        *(partial(url_prefix, None, path) for path in ("/a b", "/a/..")),
        *(
            partial(KnownHosts, external_url=url)
            for url in (
                "a.example",
                "ftp://a.example",
                "https://",
                "https://user@a.example",
                "https://a/?b",
                "https://[a",
            )
        ),
        *(partial(KnownHosts, allowed=[name]) for name in ("http://a.example", "a.example:80", "")),
    ],
)
def test_an_address_that_can_t_be_one_is_refused(make: Callable[[], object]) -> None:
    """Only plain URLs, path segments and names are taken; the error names the flag and what it expects."""
    with pytest.raises(UsageError, match=r"^--web\.(external-url|route-prefix|allowed-host)=.*: expected "):
        make()
