"""The endpoints below `/api/v1/`: their routes and the OpenAPI document follow from this table."""

import json
from collections.abc import Iterable
from functools import cache
from typing import Final

import msgspec
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from msgspec.structs import replace
from yarl import URL

from exporter.core.clock import Clock
from exporter.web.api import changes_api, rules_api, search_api, tasks_api, violations_api
from exporter.web.api.apps_api import PARAMETERS as APPS_PARAMETERS
from exporter.web.api.apps_api import AppDocument, AppsDocument, apps_listing, one_app
from exporter.web.api.openapi import ApiEndpoint, openapi_document
from exporter.web.lists import Listing, listing_csv, listing_text
from exporter.web.query import ACCOUNT, APP_ID, FORMAT, TASK_ID, read_query
from exporter.web.responses import (
    CSV_TYPE,
    JSON_TYPE,
    error_answer,
    json_text,
    listed_header,
    quality,
    revalidated_response,
)
from exporter.web.url_prefix import NO_PREFIX, UrlPrefix
from exporter.web.view import View

PREFIX: Final = "/api/v1/"


APPS: Final = ApiEndpoint(
    path=f"{PREFIX}apps",
    operation_id="getApps",
    summary="State of each app",
    description="All configured apps, in the order of the configuration, or of sort.",
    respond=apps_listing,
    answer=AppsDocument,
    parameters=APPS_PARAMETERS,
)
APP: Final = ApiEndpoint(
    path=f"{PREFIX}apps/{{account}}/{{app_id}}",
    operation_id="getApp",
    summary="State of one app",
    description="404 if the account or the app is not configured.",
    respond=one_app,
    answer=AppDocument,
    path_parameters=(ACCOUNT, APP_ID),
)
TASKS: Final = ApiEndpoint(
    path=f"{PREFIX}tasks",
    operation_id="getTasks",
    summary="Known tasks",
    description=(
        "Tasks as they are configured, in the order of account, AppId and TaskId. Following the cursors returns every "
        "task that exists throughout exactly once, even if others are added or removed meanwhile."
    ),
    respond=tasks_api.all_tasks,
    answer=tasks_api.TasksDocument,
    parameters=tasks_api.PARAMETERS,
)
TASK: Final = ApiEndpoint(
    path=f"{PREFIX}tasks/{{account}}/{{app_id}}/{{task_id}}",
    operation_id="getTask",
    summary="One task and the outcome of its rules",
    description="404 if the account, the app or the task is unknown.",
    respond=tasks_api.one_task,
    answer=tasks_api.TaskWithFindingsDocument,
    path_parameters=(ACCOUNT, APP_ID, TASK_ID),
)
CHANGES: Final = ApiEndpoint(
    path=f"{PREFIX}changes",
    operation_id="getChanges",
    summary="Latest changes of tasks",
    description="Changes of tasks, newest first. Without `storage` the newest 10,000 are kept, until a restart.",
    respond=changes_api.all_changes,
    answer=changes_api.ChangesDocument,
    parameters=changes_api.PARAMETERS,
)
VIOLATIONS: Final = ApiEndpoint(
    path=f"{PREFIX}violations",
    operation_id="getViolations",
    summary="Violations and other findings of rules",
    description=(
        "Findings of one outcome, in the order of account, AppId, rule and TaskId; with state=resolved, "
        "violations that have ended, newest first."
    ),
    respond=violations_api.all_findings,
    answer=violations_api.ViolationsDocument,
    parameters=violations_api.PARAMETERS,
)
RULES: Final = ApiEndpoint(
    path=f"{PREFIX}rules",
    operation_id="getRules",
    summary="Rules",
    description="All rules by name, including disabled ones.",
    respond=rules_api.all_rules,
    answer=rules_api.RulesDocument,
    parameters=rules_api.PARAMETERS,
)
SEARCH: Final = ApiEndpoint(
    path=f"{PREFIX}search",
    operation_id="search",
    summary="Search for apps, tasks and channels",
    description="Apps and tasks over all accounts whose AppId, name, TaskId or ChannelId contains a text.",
    respond=search_api.search_listing,
    answer=search_api.SearchDocument,
    parameters=search_api.PARAMETERS,
)
OPENAPI: Final = ApiEndpoint(
    path=f"{PREFIX}openapi.json",
    operation_id="getDescription",
    summary="This description",
    description="The OpenAPI document of this version of the exporter.",
    respond=None,
)

ENDPOINTS: Final = (APPS, APP, TASKS, TASK, CHANGES, VIOLATIONS, RULES, SEARCH, OPENAPI)


def api_routes(view: View, clock: Clock, prefix: UrlPrefix = NO_PREFIX) -> Iterable[web.RouteDef]:
    """Return a route for each endpoint. A name in a path can be any text, since a TaskId may have braces."""

    @cache
    def description() -> bytes:
        return _line(json_text(openapi_document(ENDPOINTS, server=prefix.links)))

    def handler(endpoint: ApiEndpoint) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            query = replace(read_query(request.query.items(), endpoint.parameters), **request.match_info)
            accept = listed_header(request, hdrs.ACCEPT)
            json_quality = quality(accept, JSON_TYPE)
            prefers_csv = FORMAT in endpoint.parameters and quality(accept, CSV_TYPE) > json_quality
            as_csv = query.format == "csv" or (not query.format and prefers_csv)
            if not as_csv and not json_quality:
                return error_answer(request, 406, f"Accept is {accept!r}, expected one that has {JSON_TYPE} or */*")
            if endpoint.respond is None:
                return revalidated_response(request, description())
            answer = await endpoint.respond(view, query, clock.now())
            if not isinstance(answer, Listing):
                return revalidated_response(request, _line(json_text(answer)))
            if not as_csv:
                return revalidated_response(request, _line(await listing_text(answer)))
            table, cursor = await listing_csv(answer)
            next_page = {**request.query, "format": "csv", "cursor": cursor or ""}
            following = URL.build(path=prefix.link_to(request.path), query=next_page)
            link = "" if cursor is None else f'<{following}>; rel="next"'
            return revalidated_response(request, table.encode("utf-8", "replace"), CSV_TYPE, link)

        return handle

    return [web.get(endpoint.path.replace("}", ":[^/]+}"), handler(endpoint)) for endpoint in ENDPOINTS]


def _line(text: str) -> bytes:
    return text.encode("ascii") + b"\n"


def openapi_text() -> str:
    """Return the text of `docs/openapi.json`."""
    return json.dumps(openapi_document(ENDPOINTS), indent=2, default=msgspec.to_builtins) + "\n"
