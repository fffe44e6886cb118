"""Everything below a path: proxies that strip it, proxies that pass it on, and no proxy."""

import re
from collections.abc import AsyncIterator
from urllib.parse import urljoin

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from exporter.config.mistakes import UsageError
from exporter.web.addresses import KnownHosts, UrlPrefix, url_prefix
from exporter.web.application import application
from tests.web.api.api_view import full_view
from tests.web.fake_view import FakeView, FixedClock, app_view, entry, recorded

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


@pytest.mark.parametrize(
    "flags", [("https://a.example/{x}", None), ("https://a.example/a/../b", None), (None, "/a b"), (None, "/a/..")]
)
def test_a_path_that_can_t_be_a_prefix_is_refused(flags: tuple[str | None, str | None]) -> None:
    """Only plain path segments are accepted; the error names the flag."""
    with pytest.raises(UsageError, match=r"^--web\.(external-url|route-prefix)=.*: expected a path of letters"):
        url_prefix(*flags)


@pytest.fixture(params=["stripping", "passing on"])
async def proxied(request: pytest.FixtureRequest) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    """A client of a proxy that publishes an exporter below a path."""
    strips = request.param == "stripping"
    prefix = url_prefix(PUBLISHED, "/" if strips else None)
    hosts = KnownHosts(external_url=PUBLISHED)
    view = FakeView([app_view({("CN-Shanghai", "mixed"): 3})])
    view.put([entry("task-1"), entry("task-2"), entry("a/b %2f")])
    view.found = full_view().found
    view.recorded = [recorded(1)]
    app = application(view, FixedClock(), enable_lifecycle=True, hosts=hosts, prefix=prefix)
    async with TestClient(TestServer(app, access_log=None)) as exporter:

        async def forward(request: web.Request) -> web.Response:
            path = request.raw_path.removeprefix(prefix.links) if strips else request.raw_path
            headers = {
                "Host": "metrics.example.com",
                "Accept-Encoding": "identity",
                **{k: v for k, v in request.headers.items() if k == "Origin"},
            }
            found = await exporter.request(
                request.method, URL(path, encoded=True),
                headers=headers, allow_redirects=False, data=await request.read(),
            )  # fmt: skip
            kept = {k: v for k, v in found.headers.items() if k in {"Location", "Content-Type"}}
            return web.Response(status=found.status, headers=kept, body=await found.read())

        proxy = web.Application()
        proxy.router.add_route("*", prefix.links + "{path:.*}", forward)
        async with TestClient(TestServer(proxy, access_log=None)) as client:
            yield client


async def test_every_link_form_and_file_works_behind_a_proxy(
    proxied: TestClient[web.Request, web.Application],
) -> None:
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
    expected = {
        "static/style.css",
        "static/pages.js",
        "metrics",
        "config",
        "violations",
        "rules",
        "-/ready",
        "-/healthy",
    }
    assert {root + name for name in expected} <= seen
    assert len(seen) > 20


async def test_a_form_leads_back_below_the_path(proxied: TestClient[web.Request, web.Application]) -> None:
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
    app = application(view, FixedClock(), prefix=UrlPrefix("/inner", "/inner"))
    async with TestClient(TestServer(app, access_log=None)) as client:
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
