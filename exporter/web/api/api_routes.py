"""The routes below `/api/v1/`. A query that cannot be answered is a 400 that says why."""

from collections.abc import Iterable

from aiohttp import web

from exporter.clock import Clock
from exporter.web.api.apps_api import apps_document
from exporter.web.api.changes_api import changes_page, read_changes_query
from exporter.web.api.endpoints import APPS, CHANGES, OPENAPI, RULES, TASK, TASKS, VIOLATIONS
from exporter.web.api.openapi import openapi_document
from exporter.web.api.query import given_once
from exporter.web.api.rules_api import read_rules_query, rules_page
from exporter.web.api.tasks_api import read_tasks_query, task_with_findings_document, tasks_page
from exporter.web.api.violations_api import read_violations_query, violations_page
from exporter.web.known_names import require_known, unknown_names
from exporter.web.responses import error_answer, for_readers_of_json, json_response, json_text, page_text
from exporter.web.view import View


def api_routes(view: View, clock: Clock) -> Iterable[web.RouteDef]:
    """Return all routes of the API.

    Args:
        view: What every request is answered from.
        clock: By which exemptions have ended or not.
    """
    openapi = json_text(openapi_document())

    async def describe(request: web.Request) -> web.Response:
        given_once(request.query.items(), OPENAPI.parameters)
        return json_response(request, openapi)

    async def apps(request: web.Request) -> web.Response:
        given_once(request.query.items(), APPS.parameters)
        return json_response(request, json_text(apps_document(view.statuses())))

    async def tasks(request: web.Request) -> web.Response:
        query = read_tasks_query(request.query.items())
        require_known(unknown_names(view, account=query.account, app_id=query.app_id, rule=query.rule))
        return json_response(request, await page_text(await tasks_page(view, query)))

    async def task(request: web.Request) -> web.Response:
        given_once(request.query.items(), TASK.parameters)
        account, app_id, task_id = (request.match_info[name] for name in ("account", "app_id", "task_id"))
        found = view.task(account, app_id, task_id)
        if found is None:
            unknown = f"no task {task_id!r} is known in app {app_id!r} of account {account!r}"
            return error_answer(request.path, 404, unknown)
        return json_response(request, json_text(task_with_findings_document(found)))

    async def changes(request: web.Request) -> web.Response:
        query = read_changes_query(request.query.items())
        former = ((change.account, change.app_id) for change in view.changes())
        require_known(unknown_names(view, account=query.account, app_id=query.app_id, former_apps=former))
        page = changes_page(view.changes(), query, remembered_since=view.changes_remembered_since())
        return json_response(request, await page_text(page))

    async def violations(request: web.Request) -> web.Response:
        query = read_violations_query(request.query.items())
        require_known(
            unknown_names(view, account=query.account, app_id=query.app_id, rule=query.rule, owner=query.owner)
        )
        statuses = [app.status for app in view.statuses()]
        page = await violations_page(view.findings(query.outcome), query, statuses)
        return json_response(request, await page_text(page))

    async def rules(request: web.Request) -> web.Response:
        query = read_rules_query(request.query.items())
        require_known(unknown_names(view, rule=query.rule))
        return json_response(request, await page_text(rules_page(view.rules(), query, now=clock.now())))

    return tuple(
        web.get(_pattern(endpoint.path), for_readers_of_json(handler))
        for endpoint, handler in (
            (APPS, apps),
            (TASKS, tasks),
            (TASK, task),
            (CHANGES, changes),
            (VIOLATIONS, violations),
            (RULES, rules),
            (OPENAPI, describe),
        )
    )


def _pattern(path: str) -> str:
    """Let a name in a path be any text, since a TaskId may have braces."""
    return path.replace("}", ":[^/]+}")
