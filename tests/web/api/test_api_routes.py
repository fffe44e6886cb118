"""The API over real HTTP: what it answers and refuses, conditions, compression, types; and pieces of ready bytes."""

import csv
import gzip
import json
from http import HTTPStatus
from io import StringIO
from typing import NoReturn
from urllib.parse import quote

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from exporter.web.api import ENDPOINTS
from exporter.web.application import application
from exporter.web.query import cursor_after
from exporter.web.responses import WORTH_COMPRESSING_BYTES, json_text, quality
from tests.metrics.builders import configuration
from tests.support.subtests import for_each
from tests.support.virtual_time import SetClock
from tests.web.api.api_view import json_of
from tests.web.fake_view import FULL, Client, FakeView, app_view, entry

LISTS = [endpoint.path for endpoint in ENDPOINTS if endpoint.has_csv]
PATHS = [
    *LISTS,
    "/api/v1/openapi.json",
    "/api/v1/tasks/production/live-main/task-1",
    "/api/v1/apps/production/live-main",
]


async def test_each_path_answers_json_and_refuses_what_it_does_not_know(
    client: Client, subtests: pytest.Subtests
) -> None:
    """An object in pure ASCII, ended by a line feed; parameters that are not known, and other methods, are refused."""
    for path in PATHS:
        with subtests.test(path):
            answer = await client.get(path)
            assert (answer.status, answer.content_type, answer.charset) == (200, "application/json", "utf-8")
            body = await answer.read()
            assert body.isascii()
            assert body.endswith(b"}\n")
            answer = await client.get(path, params={"tsak_id": "task-1"})
            assert (answer.status, answer.content_type) == (400, "application/json")
            assert (await answer.json())["error"].startswith("unknown parameter 'tsak_id', expected ")
            for method in ("POST", "PUT", "DELETE", "PATCH"):
                answer = await client.request(method, path)
                assert (answer.status, set(answer.headers["Allow"].split(","))) == (405, {"GET", "HEAD"})
                assert (await answer.json())["error"].startswith("Method Not Allowed")
            answer = await client.options(path)
            assert (answer.status, await answer.read()) == (204, b"")
            assert set(answer.headers["Allow"].split(",")) == {"GET", "HEAD", "OPTIONS"}
    assert (await client.options("/api/v1/nothing")).status == 404


async def test_a_page_of_tasks_is_bounded_in_size(client: Client, view: FakeView) -> None:
    """A thousand tasks of very many parts are more than one page, and all pages together have them all."""
    view.entries = {}
    large = configuration(outputs=FULL.outputs * 100, panes=FULL.panes * 100, user_streams=FULL.user_streams * 100)
    view.put(entry(f"task-{number:03}", large) for number in range(200))
    seen: list[str] = []
    cursor: dict[str, str] = {}
    sizes = []
    while True:
        parameters = {"limit": "1000", **cursor}
        answer = await client.get("/api/v1/tasks", params=parameters, headers={"Accept-Encoding": "identity"})
        sizes.append(len(await answer.read()))
        page = await answer.json()
        seen += [task["task_id"] for task in page["tasks"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert max(sizes) < 2.1 * 1024**2
    assert len(sizes) > 2
    assert seen == [f"task-{number:03}" for number in range(200)]


async def test_a_task_of_any_name_is_found(client: Client, view: FakeView) -> None:
    """What is in a TaskId is escaped in the path and means nothing else there."""
    for task_id in ("task-1", "a/b", "..%2f", "a b?c#d", "\u4e3b\u202e", "{x}", "%"):
        view.put([entry(task_id)])
        path = f"/api/v1/tasks/production/live-main/{quote(task_id, safe='')}"
        assert (await json_of(client, path))["task_id"] == task_id


EXPECTED = "expected the next_cursor of an answer to the same query"


@pytest.mark.parametrize(
    ("query", "status", "error"),
    [
        ("tasks?app_id=nope", 404, "There is no app 'nope'."),
        ("tasks?account=production&app_id=nope", 404, "There is no app 'nope' in account 'production'."),
        ("tasks?rule=nope", 404, "There is no rule 'nope'."),
        ("violations?account=nope&app_id=live-main", 404, "There is no account 'nope'."),
        ("violations?rule=nope&owner=me", 404, "There is no rule 'nope'. No app and no rule has the owner 'me'."),
        ("changes?app_id=nope", 404, "There is no app 'nope'."),
        ("rules?rule=nope", 404, "There is no rule 'nope'."),
        ("apps/production/nope", 404, "no app 'nope' is configured in account 'production'"),
        ("tasks/production/live-main/x", 404, "no task 'x' is known in app 'live-main' of account 'production'"),
        ("tasks/production/nope/t", 404, "no task 't' is known in app 'nope' of account 'production'"),
        ("tasks/nope/live-main/t", 404, "no task 't' is known in app 'live-main' of account 'nope'"),
        *(
            (f"{name}?cursor=WyJhIiwgI", 400, "cursor is 'WyJhIiwgI', expected the next_cursor of an answer")
            for name in ("tasks", "changes", "violations", "rules")
        ),
        *(
            (f"{query}cursor={cursor_after(*names)}", 400, f"cursor is of another order, {EXPECTED}")
            for query, names in (
                ("tasks?sort=task&", "1abc"),
                ("tasks?sort=push_expires&", "abc"),
                ("tasks?sort=push_expires&", ("soon", "a", "b", "c")),
                ("tasks?sort=push_expires&", ("nan", "a", "b", "c")),
                ("violations?sort=since&", "abcd"),
                ("violations?", "1abcd"),
                ("violations?", ("7", "", "", "")),
                ("violations?sort=since&", ("1", "7", "", "", "")),
            )
        ),
        *(
            (f"{name}?since=2&until=1.5", 400, "since is later than until: nothing can match")
            for name in ("changes", "violations")
        ),
        *(
            (
                f"violations?state=resolved&cursor={cursor_after(*names)}",
                400,
                "cursor is not of a page of state=resolved, expected the next_cursor of an answer",
            )
            for names in (*((number, "", "", "") for number in ("soon", "\u00b2", "9" * 20)), "1abc", "1abcd")
        ),
        ("violations?sort=-since&state=resolved", 400, "sort does not go with state=resolved"),
    ],
)
async def test_what_names_nothing_is_refused(
    client: Client, view: FakeView, query: str, status: int, error: str
) -> None:
    """A misspelt name is not answered with an empty list, which would look as if all were well.

    A cursor that is cut, or of another order, is refused too; all of it is counted under the template of its route.
    """
    answer = await client.get(f"/api/v1/{query}")
    assert (answer.status, await answer.json()) == (status, {"error": error})
    templates = {endpoint.path for endpoint in ENDPOINTS}
    assert [(path in templates, code) for path, code in view.finished] == [(True, status)]


@pytest.mark.parametrize(
    ("accept", "parameters", "content_type"),
    [
        ("text/csv", {}, "text/csv"),
        ("text/*;q=0.9, application/json;q=0.8", {}, "text/csv"),
        ("text/csv, application/json", {}, "application/json"),
        ("text/html, */*;q=0.8", {}, "application/json"),
        ("application/json; version=1", {}, "application/json"),
        (" ,", {}, "application/json"),
        ("application/json", {"format": "csv"}, "text/csv"),
        ("text/csv, */*;q=0.1", {"format": "json"}, "application/json"),
    ],
)
async def test_csv_is_asked_for_by_either_way(
    client: Client, accept: str, parameters: dict[str, str], content_type: str
) -> None:
    """The parameter decides, else what the Accept header prefers; JSON where it likes both equally."""
    answer = await client.get("/api/v1/tasks", params=parameters, headers={"Accept": accept})
    assert (answer.status, answer.content_type) == (200, content_type)
    answer = await client.get("/api/v1/tasks/a/b/c", headers={"Accept": "text/csv"})
    assert (answer.status, answer.content_type) == (406, "application/json")
    assert await answer.json() == {"error": "Accept is 'text/csv', expected one that has application/json or */*"}


async def test_each_list_is_had_as_csv(client: Client, subtests: pytest.Subtests) -> None:
    """The heading names every field, nested ones by their path, and each line has as many cells."""
    for path in LISTS:
        with subtests.test(path):
            answer = await client.get(path, headers={"Accept": "text/csv"})
            assert (answer.status, answer.content_type, answer.charset) == (200, "text/csv", "utf-8")
            heading, *rows = csv.reader(StringIO(await answer.text(), newline=""))
            items = next(iter((await json_of(client, path)).values()))
            assert len(rows) == len(items) > 0
            assert {len(row) for row in rows} == {len(heading)}
            assert [row[0] for row in rows] == [str(next(iter(item.values()))) for item in items]


async def test_csv_is_read_page_by_page(client: Client, view: FakeView) -> None:
    """The Link header leads to the next page, until there is none; the columns stay the same."""
    view.entries = {}
    view.put([entry(f"task-{number}", FULL if number == 1 else configuration()) for number in range(5)])
    url, tables = "/api/v1/tasks?limit=2&account=production", []
    accept = "text/csv"  # of the first page alone
    while url:
        answer = await client.get(url, headers={"Accept": accept})
        accept = "*/*"
        tables.append(list(csv.DictReader(StringIO(await answer.text(), newline=""))))
        url = URL(answer.links["next"]["url"]).path_qs if answer.links else ""
    assert [[row["task_id"] for row in table] for table in tables] == [
        ["task-0", "task-1"],
        ["task-2", "task-3"],
        ["task-4"],
    ]
    assert len({tuple(table[0]) for table in tables}) == 1
    assert "configuration.video.bitrate_kbps" in tables[0][0]


async def test_a_table_never_holds_a_formula(client: Client, view: FakeView) -> None:
    """What a spreadsheet would evaluate is text there; unknown values are empty and truth is written as in JSON."""
    view.apps = [app_view(name="=cmd()", owner="@x", data_available=False), app_view(name='a,"b\n', app_id="b")]
    table = (await (await client.get("/api/v1/apps?format=csv")).text()).removeprefix("\ufeff")
    first, second = csv.DictReader(StringIO(table, newline=""))
    assert (first["name"], first["owner"], first["tasks"], first["up"]) == ("'=cmd()", "'@x", "", "true")
    assert (second["name"], second["violations.info"]) == ('a,"b\n', "0")


async def test_a_body_that_is_too_large_is_reported_as_other_errors_are(view: FakeView) -> None:
    """What a limit in front of the API refuses has the form of the API's errors."""

    async def refuse(_request: web.Request) -> NoReturn:
        raise web.HTTPRequestEntityTooLarge(max_size=1, actual_size=2)

    app = application(view, SetClock())
    app.router.add_get("/api/v1/refused", refuse)
    async with TestClient(TestServer(app)) as client:
        answer = await client.get("/api/v1/refused")
        assert (answer.status, answer.content_type) == (413, "application/json")
        assert (await answer.json())["error"].startswith(HTTPStatus.REQUEST_ENTITY_TOO_LARGE.phrase)


APPS = "/api/v1/apps"
OPENAPI = "/api/v1/openapi.json"


async def test_what_has_not_changed_is_not_sent_again(client: Client, view: FakeView) -> None:
    """The ETag of an answer gets a 304 without a body until the content changes."""
    first = await client.get(APPS)
    etag = first.headers["ETag"]
    assert etag.startswith('W/"')
    assert first.headers["Cache-Control"] == "no-cache"
    again = await client.get(APPS, headers={"If-None-Match": etag})
    assert (again.status, await again.read()) == (304, b"")
    assert (again.headers["ETag"], again.headers["Cache-Control"]) == (etag, "no-cache")
    assert (await client.head(APPS, headers={"If-None-Match": etag})).status == 304
    view.apps = [app_view(name="renamed")]
    changed = await client.get(APPS, headers={"If-None-Match": etag})
    assert changed.status == 200
    assert changed.headers["ETag"] != etag


async def test_an_etag_is_found_among_others(client: Client) -> None:
    """A list of ETags, a star and the strong form of one count; what can't be read counts as nothing."""
    etag = (await client.get(APPS)).headers["ETag"]
    known = ("*", f'"another", {etag}', etag.removeprefix("W/"))
    for header in (*known, '"another"', "nonsense", ""):
        answer = await client.get(APPS, headers={"If-None-Match": header})
        assert answer.status == (304 if header in known else 200), header


async def test_large_answers_are_compressed_for_those_who_want_it(client: Client, view: FakeView) -> None:
    """A gzip member holds the same bytes, and its ETag is the same; compressing a few bytes pays for nobody."""
    plain = await client.get(OPENAPI, headers={"Accept-Encoding": "identity"})
    packed = await client.get(OPENAPI, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    body = await packed.read()
    assert packed.headers["Content-Length"] == str(len(body))
    assert len(body) < WORTH_COMPRESSING_BYTES * 20
    assert gzip.decompress(body) == await plain.read()
    assert packed.headers["ETag"] == plain.headers["ETag"]
    assert packed.headers["Vary"] == "Accept, Accept-Encoding"
    view.apps = []
    small = await client.get(APPS, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in small.headers
    assert json.loads(await small.read()) == {"apps": []}


ACCEPTING = (
    *("", "*/*", "application/*", "Application/JSON; charset=utf-8", "application/json;q=0.01"),
    "text/html, application/xhtml+xml, */*;q=0.8",
)
NOT_ACCEPTING = (
    *("text/html", "application/xml, text/*", "application/json;q=0, */*", "application/json;q=0.000", "*/*;q=0"),
    "application/*;q=0, */*;q=0.1",
)


@for_each((*ACCEPTING, *NOT_ACCEPTING))
def test_json_is_accepted_by_the_most_specific_range(accept: str) -> None:
    """The range that names JSON most closely decides; a quality of 0 means that it is not wanted."""
    assert (quality(accept, "application/json") > 0) is (accept in ACCEPTING)


def test_any_text_is_pure_ascii() -> None:
    """Whatever the service says, half characters included, no byte of the answer is more than JSON."""
    text = json_text({"text": "\ud800\u202e</script>\0é"})
    assert text.isascii()
    assert json.loads(text) == {"text": "\ud800\u202e</script>\0é"}


def test_what_json_has_no_word_for_is_refused() -> None:
    """No answer has NaN in it, which most readers of JSON do not take."""
    with pytest.raises(ValueError, match="Out of range"):
        json_text({"number": float("nan")})
