"""The routes over real HTTP: what they answer, with which headers, and what is counted; scrapes that come together."""

import asyncio
from itertools import product
from typing import NoReturn

import pytest
from aiohttp import ClientConnectionError, ClientResponse, ClientTimeout, web
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from exporter.metrics.exposition import Format
from exporter.web.application import Scrapes, application
from exporter.web.http_server import Limits
from tests.support.virtual_time import SetClock
from tests.web.fake_view import PENDING, Client, FakeView, app_view, client_of, entry

ACCEPT_OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
PATHS = (
    *("/", "/static/style.css", "/metrics", "/metrics/tasks", "/-/healthy", "/-/ready", "/config"),
    *("/api/v1/openapi.json", "/api/v1/apps", "/api/v1/changes", "/api/v1/violations", "/api/v1/rules"),
)
APP = "/apps/production/live-main"
PAGES = (
    *(APP, f"{APP}/tasks/t-1", f"{APP}/collect", "/violations", "/changes", "/rules", "/search?text=t", "/families"),
    "/static/pages.js",
)


@pytest.fixture
def view() -> FakeView:
    """What is shown."""
    view = FakeView([app_view({("CN-Shanghai", "single"): 7}), PENDING])
    view.put([entry("t-1")])
    return view


async def test_the_page_survives_text_that_has_no_utf8(client: Client, view: FakeView) -> None:
    """Half a surrogate pair in a name costs that character, not the page nor the JSON; other text is as it is."""
    view.apps, view.config = [app_view(name="a\ud800b")], "accounts:\n  - name: \u4e3b\n"
    assert await (await client.get("/config")).text() == view.config
    assert "a?b" in await (await client.get("/")).text()
    assert (await (await client.get("/api/v1/apps")).json())["apps"][0]["name"] == "a\ud800b"


@pytest.mark.parametrize(
    ("name", "content_type", "words"),
    [("style.css", "text/css", "prefers-color-scheme: dark"), ("pages.js", "text/javascript", "addEventListener")],
)
async def test_style_and_script_are_served(client: Client, name: str, content_type: str, words: str) -> None:
    """They may be kept for a while; with `nosniff` a browser refuses them under any other type."""
    answer = await client.get(f"/static/{name}")
    assert (answer.status, answer.content_type) == (200, content_type)
    assert answer.headers["Cache-Control"] == "max-age=300"
    assert words in await answer.text()


@pytest.mark.parametrize("path", ["/metrics", "/metrics/tasks"])
@pytest.mark.parametrize("gzip", [False, True])
async def test_metrics_are_the_ready_bytes(client: Client, view: FakeView, path: str, *, gzip: bool) -> None:
    """The chunks arrive as they are, small and large ones in order, with their length, type and encoding."""
    view.chunks = view.task_chunks = (b"a" * 10, b"", b"b" * 200_000, b"c" * 65_535, b"d", b"e" * 70_000)
    answer = await client.get(path, headers={"Accept-Encoding": "gzip" if gzip else "identity"})
    body = await answer.read()
    assert body == b"".join(view.chunks)
    assert answer.headers["Content-Length"] == str(len(body))
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers.get("Content-Encoding") == ("gzip" if gzip else None)
    assert answer.headers["Vary"] == "Accept, Accept-Encoding"
    assert view.finished == [(path, 200)]


@pytest.mark.parametrize("path", ["/metrics", "/metrics/tasks"])
async def test_metrics_are_asked_for_as_the_scraper_accepts_them(client: Client, view: FakeView, path: str) -> None:
    """The format and the encoding are what the headers say, in one line or in several."""
    view.task_chunks = (b"up 1\n",)
    answer = await client.get(path, headers={"Accept": ACCEPT_OPENMETRICS, "Accept-Encoding": "gzip"})
    assert answer.headers["Content-Type"] == Format.OPENMETRICS.value
    await client.get(path, headers={"Accept": "text/plain", "Accept-Encoding": "identity"})
    lines = [("Accept", part) for part in reversed(ACCEPT_OPENMETRICS.split(","))]
    await client.get(path, headers=[*lines, ("Accept-Encoding", "deflate"), ("Accept-Encoding", "gzip")])
    assert view.asked == [(Format.OPENMETRICS, True), (Format.TEXT, False), (Format.OPENMETRICS, True)]


async def test_metrics_of_tasks_say_how_to_switch_them_on(client: Client, view: FakeView) -> None:
    """While they are off the path is not there, and a line says what to write to have them."""
    answer = await client.get("/metrics/tasks")
    assert (answer.status, answer.content_type) == (404, "text/plain")
    assert "metrics: {per_task: {enabled: true}}" in await answer.text()
    assert view.finished == [("/metrics/tasks", 404)]


@pytest.mark.parametrize(("path", "field"), [("/-/ready", "unready"), ("/-/healthy", "unhealthy")])
async def test_health_checks_say_what_stands_in_the_way(client: Client, view: FakeView, path: str, field: str) -> None:
    """A check is 200, or 503 with the reason."""
    answer = await client.get(path)
    assert (answer.status, await answer.text()) == (200, f"{path.removeprefix('/-/')}\n")
    setattr(view, field, "1 of 2 apps has not been read yet")
    answer = await client.get(path)
    assert (answer.status, await answer.text()) == (503, "1 of 2 apps has not been read yet\n")


async def test_every_answer_has_safe_headers(client: Client, subtests: pytest.Subtests) -> None:
    """Nothing but the own style sheet may load, types are not guessed, no referrer is sent: errors included."""
    for path in (*PATHS, "/nothing", "/api/nothing"):
        with subtests.test(path):
            headers = (await client.get(path)).headers
            assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Referrer-Policy"] == "no-referrer"
            assert "Python" not in headers["Server"]


async def test_head_is_get_without_a_body(client: Client, subtests: pytest.Subtests) -> None:
    """HEAD has the status and the headers that GET has, compressed or not, and the connection stays usable."""
    for path, encoding in product((*PATHS, *PAGES), ({"Accept-Encoding": "identity"}, {"Accept-Encoding": "gzip"})):
        with subtests.test(f"{path} {encoding}"):
            full, bare = [await client.request(how, path, headers=encoding) for how in ("GET", "HEAD")]
            assert full.status == bare.status == (404 if path == "/metrics/tasks" else 200)
            assert {**bare.headers, "Date": ""} == {**full.headers, "Date": ""}
            assert await bare.read() == b""
            assert (await client.get(path)).status == full.status


async def test_answers_are_counted_by_the_template_of_the_path(client: Client, view: FakeView) -> None:
    """Known paths count under their own name, all others under `other`, so that nobody can make new series."""
    for path in ("/", "/metrics", "/api/v1/apps", "/api/v1/nothing", "/wp-login.php"):
        await client.get(path)
    await client.post("/metrics")
    await client.delete("/apps/production/live-main/collect")
    await client.options("/api/v1/apps/production/live-main")
    await client.post("/wp-login.php")
    view.unready = "not yet"
    await client.get("/-/ready")
    assert view.finished == [
        ("/", 200),
        ("/metrics", 200),
        ("/api/v1/apps", 200),
        ("other", 404),
        ("other", 404),
        ("/metrics", 405),
        ("/apps/{account}/{app_id}/collect", 405),
        ("/api/v1/apps/{account}/{app_id}", 204),
        ("other", 404),
        ("/-/ready", 503),
    ]


async def test_a_fault_inside_is_a_500_without_details(
    client: Client, view: FakeView, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug costs one answer: counted, logged with its traceback, and reported without it."""

    def fail() -> NoReturn:
        raise RuntimeError("inner detail")

    monkeypatch.setattr(view, "statuses", fail)
    with capture_logs() as logs:
        answer = await client.get("/api/v1/apps")
    assert answer.status == 500
    assert await answer.json() == {"error": "internal error: see the exporter's log"}
    assert view.finished == [("/api/v1/apps", 500)]
    assert [(line["log_level"], line["path"], line["exc_info"]) for line in logs] == [("error", "/api/v1/apps", True)]


async def test_the_telemetry_path_can_be_set(view: FakeView) -> None:
    """The metrics are where the operator put them and nowhere else, and the page links there."""
    async with client_of(view, telemetry_path="/custom/metrics") as client:
        assert (await client.get("/custom/metrics")).status == 200
        assert (await client.get("/metrics")).status == 404
        assert 'href="/custom/metrics"' in await (await client.get("/")).text()


async def test_pages_link_to_grafana_where_it_is_configured(view: FakeView) -> None:
    """To the overview, and to the dashboard of an app; nowhere without the flag."""
    async with client_of(view, grafana_url="https://grafana.example.com/x/") as client:
        assert 'href="https://grafana.example.com/x/d/rtcmpu-overview"' in await (await client.get("/")).text()
        page = await (await client.get("/apps/production/live-main")).text()
        assert "https://grafana.example.com/x/d/rtcmpu-app?var-account=production&amp;var-app_id=live-main" in page
    with pytest.raises(ValueError, match=r"--web\.grafana-url=javascript:1: expected an address"):
        application(view, SetClock(), grafana_url="javascript:1")


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        *((path, "expected a path") for path in ("metrics", "", "/{name}", "/m?x")),
        *((path, "something else is shown there") for path in ("/", "/-/ready", "/api/v1/metrics", "/metrics/tasks")),
    ],
)
def test_a_useless_telemetry_path_is_refused(view: FakeView, path: str, complaint: str) -> None:
    """A path that can't be served or that hides another is an error that says so."""
    with pytest.raises(ValueError, match=complaint):
        application(view, SetClock(), telemetry_path=path)


LIMITS = Limits(most_scrapes=2, slow_scrape_seconds=2.0)


class Readers:
    """Scrapes that last until they are released, of two paths under one limit."""

    def __init__(self, clock: SetClock) -> None:
        self.release = asyncio.Event()
        self._begun = asyncio.Semaphore(0)
        scrapes = Scrapes(LIMITS, clock.monotonic)
        app = web.Application()
        app.add_routes([web.get(path, scrapes.bounded(self._metrics)) for path in ("/metrics", "/metrics/tasks")])
        self.client = TestClient(TestServer(app), timeout=ClientTimeout(20))

    async def _metrics(self, _request: web.Request) -> web.Response:
        self._begun.release()
        await self.release.wait()
        return web.Response(text="up 1\n")

    async def begin(self, path: str = "/metrics") -> asyncio.Task[ClientResponse]:
        """Begin a scrape and return when the server works on it."""
        task = asyncio.ensure_future(self.client.get(path))
        await self._begun.acquire()
        return task


async def test_one_too_many_is_reported_to_come_again() -> None:
    """Beyond the limit, which all paths share, the answer is 503 with Retry-After; those under way are not touched."""
    readers = Readers(SetClock())
    async with readers.client as client:
        under_way = [await readers.begin("/metrics"), await readers.begin("/metrics/tasks")]
        refused = await client.get("/metrics")
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert await refused.text() == "2 scrapes are under way\n"
        readers.release.set()
        assert [(await scrape).status for scrape in under_way] == [200, 200]
        assert (await client.get("/metrics")).status == 200


async def test_the_oldest_gives_way_once_it_is_slow() -> None:
    """At the limit a scrape that takes long is cut off, the oldest one alone, and the new one is answered."""
    clock = SetClock()
    readers = Readers(clock)
    async with readers.client as client:
        slow = await readers.begin()
        clock.seconds = 1.0
        quick = await readers.begin()
        clock.seconds = 2.5
        new = await readers.begin()
        with pytest.raises(ClientConnectionError):
            await slow
        assert (await client.get("/metrics")).status == 503, "the next oldest is not slow yet"
        readers.release.set()
        assert [(await scrape).status for scrape in (quick, new)] == [200, 200]


@pytest.mark.parametrize(
    ("enabled", "refusal", "status", "text"),
    [
        (True, None, 200, "the configuration is loaded again\n"),
        (True, "a:1:1: one\na:2:1: two", 500, "refused, the one before stays:\na:1:1: one\na:2:1: two\n"),
        (False, None, 403, "start with --web.enable-lifecycle to allow it, or send SIGHUP to the process\n"),
    ],
)
async def test_a_reload_is_answered_when_it_is_done(
    view: FakeView, enabled: bool, refusal: str | None, status: int, text: str
) -> None:
    """The answer has every mistake of a refused configuration; without the flag nothing is loaded."""
    view.refusal = refusal
    async with client_of(view, enable_lifecycle=enabled) as client:
        answer = await client.post("/-/reload")
        assert answer.status == status
        assert (await answer.text()).endswith(text)
        assert (await client.get("/-/reload")).status == 405
    assert view.reloads == enabled
