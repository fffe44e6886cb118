"""The routes of the pages."""

from collections.abc import Awaitable, Callable, Iterable
from importlib import resources
from typing import Final, TypeAlias

from aiohttp import hdrs, web

from exporter.core.clock import Clock
from exporter.web.pages import app_page, rules_page, violations_page
from exporter.web.pages.app_page import shown_app
from exporter.web.pages.rendering import Renderer
from exporter.web.pages.rules_page import shown_rules
from exporter.web.pages.status_page import shown_status
from exporter.web.pages.task_page import shown_task
from exporter.web.pages.violations_page import shown_violations
from exporter.web.query import BadQueryError, read_form
from exporter.web.responses import text_answer
from exporter.web.url_prefix import NO_PREFIX, UrlPrefix
from exporter.web.view import SweepStart, View

APP: Final = "/apps/{account:[^/]+}/{app_id:[^/]+}"  # a name may hold anything, also braces
TASK: Final = APP + "/tasks/{task_id:[^/]+}"
COLLECT: Final = APP + "/collect"

POLL_SECONDS: Final = 0.05
SHORT_WAIT_POLLS: Final = 40  # most readings end within these two seconds, so the page shows all of them
_STATIC: Final = {"style.css": "text/css", "pages.js": "text/javascript"}

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


def page_routes(
    view: View, clock: Clock, prefix: UrlPrefix = NO_PREFIX, *, telemetry_path: str
) -> Iterable[web.RouteDef]:
    """Return the routes of all pages; `prefix` and `telemetry_path` are for links."""
    renderer = Renderer(clock, prefix.links, telemetry_path)

    async def status(_request: web.Request) -> web.Response:
        return renderer.answer("status", **shown_status(view))

    async def app(request: web.Request) -> web.Response:
        account, app_id = request.match_info["account"], request.match_info["app_id"]
        shown = await shown_app(view, account, app_id, read_form(request.query, app_page.PARAMETERS))
        if shown is None:
            return _unknown_app(renderer, account, app_id)
        return renderer.answer("app", **shown)

    async def task(request: web.Request) -> web.Response:
        account, app_id = request.match_info["account"], request.match_info["app_id"]
        task_id = request.match_info["task_id"]
        shown = shown_task(view, account, app_id, task_id)
        if shown is None:
            return renderer.answer(
                "error",
                status=404,
                title="No such task",
                message=f"The app {app_id} of the account {account} has no task {task_id}, or has it no more.",
                link=renderer.app_path(account, app_id),
                link_text="To the app",
            )
        return renderer.answer("task", **shown)

    async def violations(request: web.Request) -> web.Response:
        query = read_form(request.query, violations_page.PARAMETERS)
        return renderer.answer("violations", **await shown_violations(view, query, now=clock.now()))

    async def rules(request: web.Request) -> web.Response:
        return renderer.answer(
            "rules", **shown_rules(view, read_form(request.query, rules_page.PARAMETERS), now=clock.now())
        )

    async def config(_request: web.Request) -> web.Response:
        return text_answer(view.redacted_config())

    readable: tuple[tuple[str, Handler], ...] = (
        ("/", status),
        (APP, app),
        (TASK, task),
        ("/violations", violations),
        ("/rules", rules),
    )
    return (
        *(web.get(path, _with_error_pages(renderer, prefix, handler)) for path, handler in readable),
        *_collect_routes(view, clock, renderer),
        *(web.get(f"/static/{name}", _static(name, content_type)) for name, content_type in _STATIC.items()),
        web.get("/config", config),
    )


def _collect_routes(view: View, clock: Clock, renderer: Renderer) -> Iterable[web.RouteDef]:
    """Return the page of a reading on demand, and what starts one."""

    async def report(request: web.Request) -> web.Response:
        account, app_id = request.match_info["account"], request.match_info["app_id"]
        if view.tasks(account, app_id) is None:
            return _unknown_app(renderer, account, app_id)
        return renderer.answer("collect", account=account, app_id=app_id, report=view.sweep_report(account, app_id))

    async def collect(request: web.Request) -> web.Response:
        account, app_id = request.match_info["account"], request.match_info["app_id"]
        start = view.collect_now(account, app_id)
        if start is SweepStart.UNKNOWN:
            return _unknown_app(renderer, account, app_id)
        if start is SweepStart.BUSY:
            return _refused(renderer, 409, "Another app is being read on demand: try again later.", account, app_id)
        if start is SweepStart.TOO_SOON:
            message = "This app was read on demand less than a minute ago: see its last reading, or try again later."
            return _refused(renderer, 429, message, account, app_id)
        for _ in range(SHORT_WAIT_POLLS):
            begun = view.sweep_report(account, app_id)
            if begun is None or begun.ended:
                break
            await clock.sleep(POLL_SECONDS)
        return web.Response(status=303, headers={hdrs.LOCATION: renderer.app_path(account, app_id, "collect")})

    return (web.get(COLLECT, report), web.post(COLLECT, collect))


def _with_error_pages(renderer: Renderer, prefix: UrlPrefix, handler: Handler) -> Handler:
    """Show a bad query as a page."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except BadQueryError as error:
            return renderer.answer(
                "error",
                status=400,
                title="This can't be answered",
                message=str(error),
                link=prefix.link_to(request.path),
                link_text="Without filters",
            )

    return answer


def _unknown_app(renderer: Renderer, account: str, app_id: str) -> web.Response:
    return renderer.answer(
        "error",
        status=404,
        title="No such app",
        message=f"The account {account} has no app {app_id} in the configuration.",
        link=f"{renderer.root}/",
        link_text="To all apps",
    )


def _refused(renderer: Renderer, status: int, message: str, account: str, app_id: str) -> web.Response:
    return renderer.answer(
        "error",
        status=status,
        title="Not collected",
        message=message,
        link=renderer.app_path(account, app_id),
        link_text="To the app",
    )


def _static(name: str, content_type: str) -> Handler:
    body = resources.files("exporter.web").joinpath("static", name).read_bytes()

    async def answer(_request: web.Request) -> web.Response:
        headers = {hdrs.CONTENT_TYPE: f"{content_type}; charset=utf-8", hdrs.CACHE_CONTROL: "max-age=300"}
        return web.Response(body=body, headers=headers)

    return answer
