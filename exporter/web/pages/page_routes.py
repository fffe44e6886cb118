"""The routes of the pages, and the pages that are little more than a list."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib import resources
from math import inf
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from aiohttp import hdrs, web
from msgspec.structs import replace

from exporter.core.clock import Clock
from exporter.metrics.exposition import Format, declarations
from exporter.web.api import ENDPOINTS
from exporter.web.api.apps_api import search
from exporter.web.api.openapi import PREFIX as API_PREFIX
from exporter.web.api.openapi import openapi_document
from exporter.web.api.violations_api import Finding, matching_findings
from exporter.web.lists import PAGE_ROWS, NumberedPage, numbered_page, ordered, pages_of
from exporter.web.pages.app_pages import APPS_PARAMETERS, TASKS_PARAMETERS, shown_app, shown_status, unknown_app
from exporter.web.pages.rendering import PageError, Renderer, app_path
from exporter.web.pages.task_page import shown_task
from exporter.web.query import Parameter, Query, cursor, known, number_cursor, read_form
from exporter.web.responses import json_answer, json_text, text_answer, wants_page
from exporter.web.view import FindingsView, SweepStart, View

FINDING_PARAMETERS: Final = known("outcome account app_id rule severity owner age page")
RULE_PARAMETERS: Final = known("text severity enabled")


async def shown_violations(view: View, query: Query, now: float) -> tuple[str, Mapping[str, Any]]:
    """Return the template and its values; `now` is a Unix time."""
    groups = list(view.findings(query.outcome))
    aged = query.aged(now)
    matching = [await _counted(group, aged) for group in sorted(filter(query.matches_group, groups), key=_place)]
    of_apps = [group for group in groups if query.matches_app(group.account, group.app_id)]
    frozen = {(group.account, group.app_id) for group in of_apps if not group.data_available}
    statuses = [app.status for app in view.statuses()]
    without_data = {one.key for one in statuses if not one.data_available and query.matches_app(*one.key)}
    return "violations", {
        "page": await _page(matching, aged),
        "summaries": _summaries(matching, aged),
        "frozen": sorted(frozen),
        "unknown": sorted(without_data - frozen),
        "accounts": sorted({status.account for status in statuses}),
        "app_ids": sorted({status.app_id for status in statuses}),
        "rule_names": sorted({group.rule.name for group in groups}),
        "owners": _named(groups),
        "no_such": query.unknown_names(view),
    }


def _place(group: FindingsView) -> tuple[Any, ...]:
    return -group.rule.severity.rank, group.rule.name, group.account, group.app_id


async def _counted(group: FindingsView, query: Query) -> FindingsView:
    if not query.by_time:
        return group
    await asyncio.sleep(0)
    return replace(group, count=sum(map(query.matches_time, group.since.values())))


async def _page(groups: Sequence[FindingsView], query: Query) -> NumberedPage[Finding]:
    """Return a page of findings, by group and then the oldest first; only the groups on it are sorted."""
    matching = sum(group.count for group in groups)
    number = min(query.page, pages_of(matching))
    first = (number - 1) * PAGE_ROWS
    rows: list[Finding] = []
    for group in groups:
        if first < group.count and len(rows) < PAGE_ROWS:
            found = await ordered(matching_findings(group, query), key=_oldest_first)
            rows += await found.rows(first, first + PAGE_ROWS - len(rows))
        first = max(0, first - group.count)
    return NumberedPage(rows, number, matching)


def _oldest_first(one: Finding) -> tuple[float, str]:
    return inf if one.since is None else one.since, one.task_id


def _summaries(groups: Iterable[FindingsView], query: Query) -> Sequence[Mapping[str, Any]]:
    by_rule: dict[str, list[FindingsView]] = {}
    for group in groups:
        if group.count:
            by_rule.setdefault(group.rule.name, []).append(group)
    rows: list[Mapping[str, Any]] = []
    for found in by_rule.values():
        times = (at for group in found for at in group.since.values())
        rows.append(
            {
                "rule": found[0].rule,
                "apps": len(found),
                "count": sum(group.count for group in found),
                "oldest": min(filter(query.matches_time, times) if query.by_time else times, default=None),
                "owners": _named(found),  # of the rule, else of the apps
            }
        )
    return sorted(rows, key=lambda row: (-row["rule"].severity.rank, -row["count"], row["rule"].name))


def _named(groups: Iterable[FindingsView]) -> Sequence[str]:
    return sorted({group.owner for group in groups} - {""})


async def shown_rules(view: View, query: Query, _now: float) -> tuple[str, Mapping[str, Any]]:
    """Return the template and its values: rules in force before others, the severest first."""
    rules = list(view.rules())
    return "rules", {
        "rules": sorted(
            filter(query.matches_rule, rules),
            key=lambda shown: (shown.why_off is not None, -shown.rule.severity.rank, shown.rule.name),
        ),
        "all_rules": len(rules),
    }


APP: Final = "/apps/{account:[^/]+}/{app_id:[^/]+}"  # a name may hold anything, also braces
CHANGES_ON_PAGE: Final = 50
POLL_SECONDS: Final = 0.05
SHORT_WAIT_POLLS: Final = 40  # most readings end within these two seconds, so the page shows all of them
_STATIC: Final = {"style.css": "text/css", "pages.js": "text/javascript"}
_NOT_STARTED: Final = {
    SweepStart.BUSY: (409, "Not checked", "Another app is being checked: try again later."),
    SweepStart.TOO_SOON: (
        *(429, "Not checked"),
        "This app was checked less than a minute ago: see its last check, or try again later.",
    ),
}

PageHandler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
Shown: TypeAlias = tuple[str, Mapping[str, Any]]  # The name of a template, and its values


async def _search(view: View, query: Query, _now: float) -> Shown:
    page = await numbered_page(await search(view, query), query.page) if query.text else None
    return "search", {"page": page}


async def _families(view: View, _query: Query, _now: float) -> Shown:
    has_task_metrics = view.task_metrics(Format.TEXT, gzip=False) is not None
    return "families", {"families": declarations(), "has_task_metrics": has_task_metrics}


async def _last_check(view: View, query: Query, _now: float) -> Shown:
    account, app_id = query.account, query.app_id
    if view.tasks(account, app_id) is None:
        raise unknown_app(view, query)
    return "collect", {"account": account, "app_id": app_id, "report": view.sweep_report(account, app_id)}


async def _changes(view: View, query: Query, now: float) -> Shown:
    past = view.past()
    found = await past.changes(query.of_past(CHANGES_ON_PAGE + 1))
    apps = {*await past.apps(), *(app.status.key for app in view.statuses())}
    return "changes", {
        "changes": found[:CHANGES_ON_PAGE],
        "following": found[CHANGES_ON_PAGE - 1].number if len(found) > CHANGES_ON_PAGE else None,
        "remembered_since": await past.remembered_since(now),
        "accounts": sorted({account for account, _ in apps}),
        "app_ids": sorted({app_id for _, app_id in apps}),
        "no_such": query.unknown_names(view, apps),
    }


_PAGES: Final[Mapping[str, tuple[Callable[[View, Query, float], Awaitable[Shown]], Iterable[Parameter]]]] = {
    "/": (shown_status, APPS_PARAMETERS),
    APP: (shown_app, TASKS_PARAMETERS),
    f"{APP}/tasks/{{task_id:[^/]+}}": (shown_task, ()),
    f"{APP}/collect": (_last_check, ()),
    "/violations": (shown_violations, FINDING_PARAMETERS),
    "/changes": (_changes, known("account app_id task_id change field since until", cursor(parse=number_cursor))),
    "/rules": (shown_rules, RULE_PARAMETERS),
    "/search": (_search, known("text page")),
    "/families": (_families, ()),
}
"""What shows each page, at a Unix time, and the parameters of its form."""


def page_routes(view: View, clock: Clock, renderer: Renderer) -> Iterable[web.RouteDef]:
    """Return the routes of all pages; their handlers may raise PageError, BadQueryError and HistoryError."""

    def page(path: str) -> web.RouteDef:
        show, parameters = _PAGES[path]
        choices = {one.name: one.schema["enum"] for one in parameters if "enum" in one.schema}

        async def answer(request: web.Request) -> web.StreamResponse:
            query = replace(read_form(request.query, parameters), **request.match_info)
            template, values = await show(view, query, clock.now())
            links = partial(query.parameters, parameters)
            return renderer.answer(template, query=query, parameters=links, choices=choices, **values)

        return web.get(path, answer)

    async def config(request: web.Request) -> web.StreamResponse:
        """Show the configuration: a page for browsers, YAML for scripts."""
        text = view.redacted_config()
        answer = renderer.answer("config", text=text) if wants_page(request) else text_answer(text)
        answer.headers[hdrs.VARY] = hdrs.ACCEPT
        return answer

    async def api(request: web.Request) -> web.StreamResponse:
        """Show the description of the API: a page for browsers, the OpenAPI document for scripts."""
        document = openapi_document(ENDPOINTS, server=renderer.root)
        if wants_page(request):
            answer = renderer.answer("api", document=document, names=_example_names(view), json_text=json_text)
        else:
            answer = json_answer(document)
        answer.headers[hdrs.VARY] = hdrs.ACCEPT
        return answer

    return (
        *map(page, _PAGES),
        web.get("/config", config),
        web.get(API_PREFIX, api),
        web.post(f"{APP}/collect", _collect(view, clock, renderer)),
        *(web.get(f"/static/{name}", _static(name, content_type)) for name, content_type in _STATIC.items()),
    )


def _collect(view: View, clock: Clock, renderer: Renderer) -> PageHandler:
    async def collect(request: web.Request) -> web.StreamResponse:
        """Start a check, and show it once it has ended or takes long."""
        account, app_id = request.match_info["account"], request.match_info["app_id"]
        start = view.collect_now(account, app_id)
        if start is SweepStart.UNKNOWN:
            raise unknown_app(view, Query(account=account, app_id=app_id))
        if start in _NOT_STARTED:
            raise PageError(*_NOT_STARTED[start], app_path("", account, app_id), "To the app")
        for _ in range(SHORT_WAIT_POLLS):
            begun = view.sweep_report(account, app_id)
            if begun is None or begun.ended:
                break
            await clock.sleep(POLL_SECONDS)
        return web.Response(status=303, headers={hdrs.LOCATION: renderer.app_path(account, app_id, "collect")})

    return collect


def _example_names(view: View) -> Mapping[str, str]:
    names = {one.name: one.example for one in known("account app_id task_id")}
    for app in view.statuses():
        tasks = view.tasks(*app.status.key)
        if tasks is not None and tasks.entries:
            names = dict(zip(names, (*app.status.key, tasks.entries[0].task_id), strict=True))
            break
    return {name: quote(text, safe="", errors="replace") for name, text in names.items()}


def _static(name: str, content_type: str) -> PageHandler:
    body = resources.files("exporter.web").joinpath("static", name).read_bytes()

    async def answer(_request: web.Request) -> web.Response:
        headers = {hdrs.CONTENT_TYPE: f"{content_type}; charset=utf-8", hdrs.CACHE_CONTROL: "max-age=300"}
        return web.Response(body=body, headers=headers)

    return answer
