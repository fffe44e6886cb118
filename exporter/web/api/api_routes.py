"""The endpoints below `/api/v1/`: their routes and the OpenAPI document follow from this table."""

import json
from collections.abc import Iterable
from functools import cache
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec.structs import replace

from exporter.core.clock import Clock
from exporter.web.api import changes_api, examples, rules_api, tasks_api, violations_api
from exporter.web.api.apps_api import AppsDocument, apps_text
from exporter.web.api.openapi import ApiEndpoint, openapi_document
from exporter.web.query import ACCOUNT, APP_ID, TASK_ID, read_query
from exporter.web.responses import for_readers_of_json, json_response, json_text
from exporter.web.url_prefix import NO_PREFIX, UrlPrefix
from exporter.web.view import View

PREFIX: Final = "/api/v1/"


APPS: Final = ApiEndpoint(
    path=f"{PREFIX}apps",
    operation_id="getApps",
    summary="State of each app",
    description="All configured apps, in the order of the configuration.",
    respond=apps_text,
    answer=AppsDocument,
    example=examples.APPS,
)
TASKS: Final = ApiEndpoint(
    path=f"{PREFIX}tasks",
    operation_id="getTasks",
    summary="Known tasks",
    description=(
        "Tasks as they are configured, in the order of account, AppId and TaskId. Following the cursors returns every "
        "task that exists throughout exactly once, even if others are added or removed meanwhile."
    ),
    respond=tasks_api.tasks_text,
    answer=tasks_api.TasksDocument,
    example=examples.TASKS,
    parameters=tasks_api.PARAMETERS,
)
TASK: Final = ApiEndpoint(
    path=f"{PREFIX}tasks/{{account}}/{{app_id}}/{{task_id}}",
    operation_id="getTask",
    summary="One task and the outcome of its rules",
    description="404 if the account, the app or the task is unknown.",
    respond=tasks_api.task_text,
    answer=tasks_api.TaskWithFindingsDocument,
    example=examples.TASK,
    path_parameters=(ACCOUNT, APP_ID, TASK_ID),
)
CHANGES: Final = ApiEndpoint(
    path=f"{PREFIX}changes",
    operation_id="getChanges",
    summary="Latest changes of tasks",
    description="Recorded changes of tasks, newest first. They are lost on restart.",
    respond=changes_api.changes_text,
    answer=changes_api.ChangesDocument,
    example=examples.CHANGES,
    parameters=changes_api.PARAMETERS,
)
VIOLATIONS: Final = ApiEndpoint(
    path=f"{PREFIX}violations",
    operation_id="getViolations",
    summary="Violations and other findings of rules",
    description="Findings of one outcome, in the order of account, AppId, rule and TaskId.",
    respond=violations_api.violations_text,
    answer=violations_api.ViolationsDocument,
    example=examples.VIOLATIONS,
    parameters=violations_api.PARAMETERS,
)
RULES: Final = ApiEndpoint(
    path=f"{PREFIX}rules",
    operation_id="getRules",
    summary="Rules",
    description="All rules by name, including disabled ones.",
    respond=rules_api.rules_text,
    answer=rules_api.RulesDocument,
    example=examples.RULES,
    parameters=rules_api.PARAMETERS,
)
OPENAPI: Final = ApiEndpoint(
    path=f"{PREFIX}openapi.json",
    operation_id="getDescription",
    summary="This description",
    description="The OpenAPI document of this version of the exporter.",
    respond=None,
)

ENDPOINTS: Final = (APPS, TASKS, TASK, CHANGES, VIOLATIONS, RULES, OPENAPI)


def api_routes(view: View, clock: Clock, prefix: UrlPrefix = NO_PREFIX) -> Iterable[web.RouteDef]:
    """Return a route for each endpoint. A name in a path can be any text, since a TaskId may have braces."""

    @cache
    def description() -> str:
        return json_text(openapi_document(ENDPOINTS, server=prefix.links))

    def handler(endpoint: ApiEndpoint) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            query = replace(read_query(request.query.items(), endpoint.parameters), **request.match_info)
            respond = endpoint.respond
            text = description() if respond is None else await respond(view, query, clock.now())
            return json_response(request, text)

        return for_readers_of_json(handle)

    return [web.get(endpoint.path.replace("}", ":[^/]+}"), handler(endpoint)) for endpoint in ENDPOINTS]


def openapi_text() -> str:
    """Return the text of `docs/openapi.json`."""
    return json.dumps(openapi_document(ENDPOINTS), indent=2, default=msgspec.to_builtins) + "\n"
