"""The JSON API: all endpoints below `/api/v1/`, and their routes."""

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
from exporter.web.addresses import UrlPrefix
from exporter.web.api import apps_api, tasks_api, violations_api
from exporter.web.api.openapi import PREFIX, ApiEndpoint, openapi_document
from exporter.web.lists import Listing, listing_csv, listing_text
from exporter.web.query import read_query
from exporter.web.responses import (
    CSV_TYPE,
    JSON_TYPE,
    error_answer,
    json_text,
    listed_header,
    quality,
    revalidated_response,
)
from exporter.web.view import View

ENDPOINTS: Final = (
    *apps_api.ENDPOINTS,
    *tasks_api.ENDPOINTS,
    *violations_api.ENDPOINTS,
    apps_api.SEARCH,
    ApiEndpoint(
        f"{PREFIX}openapi.json",
        "getDescription",
        "This description",
        "The OpenAPI document of this version of the exporter.",
    ),
)


def api_routes(view: View, clock: Clock, prefix: UrlPrefix) -> Iterable[web.RouteDef]:
    """Return a route for each endpoint. A name in a path can be any text, since a TaskId may have braces."""

    @cache
    def description() -> bytes:
        return _line(json_text(openapi_document(ENDPOINTS, server=prefix.links)))

    def handler(of: ApiEndpoint) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            query = replace(read_query(request.query.items(), of.parameters), **request.match_info)
            accept = listed_header(request, hdrs.ACCEPT)
            json_quality = quality(accept, JSON_TYPE)
            prefers_csv = of.has_csv and quality(accept, CSV_TYPE) > json_quality
            as_csv = query.format == "csv" or (not query.format and prefers_csv)
            if not as_csv and not json_quality:
                return error_answer(request, 406, f"Accept is {accept!r}, expected one that has {JSON_TYPE} or */*")
            if of.respond is None:
                return revalidated_response(request, description())
            answer = await of.respond(view, query, clock.now())
            if not isinstance(answer, Listing):
                return revalidated_response(request, _line(json_text(answer)))
            if not as_csv:
                return revalidated_response(request, _line(await listing_text(answer)))
            table, cursor = await listing_csv(answer)
            next_page = {**request.query, "format": "csv", "cursor": cursor or ""}
            following = URL.build(path=prefix.links + request.path.removeprefix(prefix.routes), query=next_page)
            link = "" if cursor is None else f'<{following}>; rel="next"'
            return revalidated_response(request, table.encode("utf-8", "replace"), CSV_TYPE, link)

        return handle

    return [web.get(one.path.replace("}", ":[^/]+}"), handler(one)) for one in ENDPOINTS]


def _line(text: str) -> bytes:
    return text.encode("ascii") + b"\n"


def openapi_text() -> str:
    """Return the text of `docs/openapi.json`."""
    return json.dumps(openapi_document(ENDPOINTS), indent=2, default=msgspec.to_builtins) + "\n"
