"""The routes of the pages."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from importlib import resources
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from aiohttp import hdrs, web

from exporter.collector.past import HistoryError
from exporter.core.clock import Clock
from exporter.metrics.catalogue import declarations
from exporter.metrics.negotiation import Format
from exporter.web.api.api_routes import ENDPOINTS
from exporter.web.api.api_routes import PREFIX as API_PREFIX
from exporter.web.api.openapi import openapi_document
from exporter.web.api.search_api import search
from exporter.web.lists import numbered_page
from exporter.web.pages import app_page, changes_page, rules_page, status_page, violations_page
from exporter.web.pages.changes_page import shown_changes
from exporter.web.pages.rendering import Renderer
from exporter.web.pages.task_page import shown_task
from exporter.web.query import BadQueryError, known, read_form
from exporter.web.responses import json_answer, json_text, text_answer, wants_page
from exporter.web.url_prefix import UrlPrefix
from exporter.web.view import SweepStart, View

APP: Final = "/apps/{account:[^/]+}/{app_id:[^/]+}"  # a name may hold anything, also braces
POLL_SECONDS: Final = 0.05
SHORT_WAIT_POLLS: Final = 40  # most readings end within these two seconds, so the page shows all of them
_STATIC: Final = {"style.css": "text/css", "pages.js": "text/javascript"}
_NOT_STARTED: Final = {
    SweepStart.BUSY: (409, "Another app is being checked: try again later."),
    SweepStart.TOO_SOON: (
        429,
        "This app was checked less than a minute ago: see its last check, or try again later.",
    ),
}

PageHandler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ErrorPageError(Exception):
    """Shown as a page: status, title, message, and a link that leads on."""

    def __init__(self, status: int, title: str, message: str, link: str, link_text: str) -> None:
        super().__init__(message)
        self.status = status
        self.shown = {"title": title, "message": message, "link": link, "link_text": link_text}


def page_routes(view: View, clock: Clock, prefix: UrlPrefix, renderer: Renderer) -> Iterable[web.RouteDef]:
    """Return the routes of all pages; `prefix` is for links."""
    pages = _Pages(view, clock, prefix, renderer)
    handlers = {
        "/": pages.status,
        APP: pages.app,
        f"{APP}/tasks/{{task_id:[^/]+}}": pages.task,
        f"{APP}/collect": pages.report,
        "/violations": pages.violations,
        "/changes": pages.changes,
        "/rules": pages.rules,
        "/search": pages.search,
        "/config": pages.config,
        "/families": pages.families,
        API_PREFIX: pages.api,
    }
    return (
        *(web.get(path, pages.with_errors(handler)) for path, handler in handlers.items()),
        web.post(f"{APP}/collect", pages.with_errors(pages.collect)),
        *(web.get(f"/static/{name}", _static(name, content_type)) for name, content_type in _STATIC.items()),
    )


class _Pages:
    """Handlers of requests for pages."""

    def __init__(self, view: View, clock: Clock, prefix: UrlPrefix, renderer: Renderer) -> None:
        self._view = view
        self._clock = clock
        self._prefix = prefix
        self._renderer = renderer

    def with_errors(self, handler: PageHandler) -> PageHandler:
        """Return a handler that shows errors as pages."""

        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except ErrorPageError as error:
                return self._renderer.answer("error", status=error.status, **error.shown)
            except HistoryError as error:
                shown = {"title": "The past can't be read", "message": str(error), "link": self._renderer.root + "/"}
                return self._renderer.answer("error", status=503, **shown, link_text="To all apps")
            except BadQueryError as error:
                link = self._prefix.link_to(request.path)
                shown = {"title": "This can't be answered", "message": str(error), "link": link}
                return self._renderer.answer("error", status=400, **shown, link_text="Without filters")

        return answer

    async def status(self, request: web.Request) -> web.Response:
        """All apps."""
        query = read_form(request.query, status_page.PARAMETERS)
        return self._renderer.answer("status", **await status_page.shown_status(self._view, query))

    async def app(self, request: web.Request) -> web.Response:
        """One app."""
        account, app_id = _app_of(request)
        shown = await app_page.shown_app(self._view, account, app_id, read_form(request.query, app_page.PARAMETERS))
        if shown is None:
            raise self._unknown_app(account, app_id)
        return self._renderer.answer("app", **shown)

    async def task(self, request: web.Request) -> web.Response:
        """One task."""
        account, app_id = _app_of(request)
        task_id = request.match_info["task_id"]
        shown = await shown_task(self._view, account, app_id, task_id)
        if shown is None:
            message = f"The app {app_id} of the account {account} has no task {task_id}, or has it no more."
            raise ErrorPageError(404, "No such task", message, self._renderer.app_path(account, app_id), "To the app")
        return self._renderer.answer("task" if "entry" in shown else "gone", **shown)

    async def changes(self, request: web.Request) -> web.Response:
        """What changed."""
        query = read_form(request.query, changes_page.PARAMETERS)
        return self._renderer.answer("changes", **await shown_changes(self._view, query, now=self._clock.now()))

    async def violations(self, request: web.Request) -> web.Response:
        """Findings of rules."""
        query = read_form(request.query, violations_page.PARAMETERS)
        return self._renderer.answer(
            "violations", **await violations_page.shown_violations(self._view, query, now=self._clock.now())
        )

    async def rules(self, request: web.Request) -> web.Response:
        """All rules."""
        query = read_form(request.query, rules_page.PARAMETERS)
        return self._renderer.answer("rules", **rules_page.shown_rules(self._view, query, now=self._clock.now()))

    async def search(self, request: web.Request) -> web.Response:
        """Apps, tasks and channels by a part of their name."""
        query = read_form(request.query, known("text page"))
        page = await numbered_page(await search(self._view, query), query.page) if query.text else None
        return self._renderer.answer("search", query=query, page=page)

    async def config(self, request: web.Request) -> web.Response:
        """The configuration: a page for browsers, YAML for scripts."""
        text = self._view.redacted_config()
        answer = self._renderer.answer("config", text=text) if wants_page(request) else text_answer(text)
        answer.headers[hdrs.VARY] = hdrs.ACCEPT
        return answer

    async def families(self, _request: web.Request) -> web.Response:
        """What each metric means."""
        has_task_metrics = self._view.task_metrics(Format.TEXT, gzip=False) is not None
        return self._renderer.answer("families", families=declarations(), has_task_metrics=has_task_metrics)

    async def api(self, request: web.Request) -> web.Response:
        """The description of the API: a page for browsers, the OpenAPI document for scripts."""
        document = openapi_document(ENDPOINTS, server=self._prefix.links)
        if wants_page(request):
            answer = self._renderer.answer("api", **_shown_api(self._view, document))
        else:
            answer = json_answer(document)
        answer.headers[hdrs.VARY] = hdrs.ACCEPT
        return answer

    async def report(self, request: web.Request) -> web.Response:
        """The last check."""
        account, app_id = _app_of(request)
        if self._view.tasks(account, app_id) is None:
            raise self._unknown_app(account, app_id)
        return self._renderer.answer(
            "collect", account=account, app_id=app_id, report=self._view.sweep_report(account, app_id)
        )

    async def collect(self, request: web.Request) -> web.Response:
        """Start a check, and show it once it has ended or takes long."""
        account, app_id = _app_of(request)
        start = self._view.collect_now(account, app_id)
        if start is SweepStart.UNKNOWN:
            raise self._unknown_app(account, app_id)
        if start in _NOT_STARTED:
            code, message = _NOT_STARTED[start]
            raise ErrorPageError(code, "Not checked", message, self._renderer.app_path(account, app_id), "To the app")
        for _ in range(SHORT_WAIT_POLLS):
            begun = self._view.sweep_report(account, app_id)
            if begun is None or begun.ended:
                break
            await self._clock.sleep(POLL_SECONDS)
        return web.Response(status=303, headers={hdrs.LOCATION: self._renderer.app_path(account, app_id, "collect")})

    def _unknown_app(self, account: str, app_id: str) -> ErrorPageError:
        for app in self._view.statuses():
            if (app.status.account, app.status.app_id) == (account, app_id) and app.collected_by is not None:
                is_address = app.collected_by.startswith("http")
                link, text = (
                    (app.collected_by, "To that exporter") if is_address else (self._renderer.root + "/", "To all apps")
                )
                return ErrorPageError(404, "Not collected here", f"{app_id}: {app.status.reason}", link, text)
        message = f"The account {account} has no app {app_id} in the configuration."
        return ErrorPageError(404, "No such app", message, f"{self._renderer.root}/", "To all apps")


def _app_of(request: web.Request) -> tuple[str, str]:
    return request.match_info["account"], request.match_info["app_id"]


def _shown_api(view: View, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the template's values; links lead to an app and a task that exist, if there are any."""
    names = _example_names(view)
    introduction, _, notes = document["info"]["description"].partition("\n\n")
    return {
        "introduction": introduction,
        "notes": [note.replace("\n  ", " ") for note in notes.strip().removeprefix("- ").split("\n- ")],
        "paths": [_shown_path(path, methods["get"], names) for path, methods in document["paths"].items()],
    }


def _shown_path(path: str, operation: Mapping[str, Any], names: Mapping[str, str]) -> Mapping[str, Any]:
    in_path = {one["name"]: one["example"] for one in operation["parameters"] if one["in"] == "path"}
    link = path.format(**{name: quote(names.get(name, example), safe="") for name, example in in_path.items()})
    has_limit = any(one["name"] == "limit" for one in operation["parameters"])
    example = operation["responses"]["200"]["content"]["application/json"].get("example")
    return {
        "path": path,
        "operation": operation,
        "link": f"{link}?limit=5" if has_limit else link,
        "example": None if example is None else json_text(example, indent=2),
    }


def _example_names(view: View) -> Mapping[str, str]:
    for app in view.statuses():
        tasks = view.tasks(app.status.account, app.status.app_id)
        if tasks is not None and tasks.entries:
            names = {"account": app.status.account, "app_id": app.status.app_id}
            return names | {"task_id": tasks.entries[0].task_id}
    return {}


def _static(name: str, content_type: str) -> PageHandler:
    body = resources.files("exporter.web").joinpath("static", name).read_bytes()

    async def answer(_request: web.Request) -> web.Response:
        headers = {hdrs.CONTENT_TYPE: f"{content_type}; charset=utf-8", hdrs.CACHE_CONTROL: "max-age=300"}
        return web.Response(body=body, headers=headers)

    return answer
