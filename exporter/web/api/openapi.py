"""Endpoints as data, and the OpenAPI document that describes them."""

import inspect
import re
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Final, TypeAlias

import msgspec
import yaml
from msgspec import Struct

from exporter import __version__
from exporter.web.lists import LARGEST_PAGE_BYTES, Listing
from exporter.web.query import Parameter, Query, known
from exporter.web.responses import CSV_TYPE, JSON_TYPE, about
from exporter.web.view import View

PREFIX: Final = "/api/v1/"
_DESCRIPTION: Final = f"""\
Data of the exporter for scripts. Requests never reach the service: responses have what was collected last, with
`data_available: false` if it is too old.

- Unknown and absent values are null, never 0. Times are seconds since 1970. JSON is in pure ASCII.
- Parameters that are unknown, empty or given twice are refused with 400, and an account, app, rule or owner that does
  not exist with 404: an empty list always means that nothing was found. Every error has the form `{{"error": "..."}}`.
- Lists are read page by page: `next_cursor` of one response is the `cursor` of the next request, until it is null. A
  page ends before `limit` if it would exceed {LARGEST_PAGE_BYTES // 1024**2} MiB.
- `format=csv`, or `Accept: text/csv`, returns a list as a table with a heading; the next page is in the Link header
  with `rel="next"`. An apostrophe is put in front of texts that a spreadsheet would take for a formula.
- Responses have a weak ETag; use `If-None-Match` to save transferring unchanged ones. HEAD works like GET, and
  OPTIONS returns the allowed methods.
- New fields and new values of closed lists may be added to responses within `/api/v1/`; existing ones stay.
"""
_ERRORS: Final = {
    400: "A parameter is invalid: which, its value, and what was expected.",
    401: "The exporter has users, and the credentials are missing or wrong.",
    404: "A name does not exist.",
    406: "The client accepts neither JSON nor, for a list, CSV.",
    413: "The request body is too large; none is needed.",
    429: "The rate limit of the exporter is exceeded.",
    500: "Internal error: see the exporter's log.",
}
_ONLY_WITH_NAMES: Final = 404


Respond: TypeAlias = Callable[[View, Query, float], Coroutine[Any, Any, Listing | Struct]]


class ApiEndpoint(Struct, frozen=True):
    """One path that serves GET and HEAD."""

    path: str
    operation_id: str
    summary: str
    description: str
    respond: Respond | None = None  # returns the answer to a query at a Unix time; None: this description
    answer: type[Struct] | None = None  # the Struct of a 200; None: any JSON object
    parameters: tuple[Parameter, ...] = ()  # of the query string

    @property
    def path_parameters(self) -> tuple[Parameter, ...]:
        """Those in the path."""
        return known(" ".join(re.findall(r"{(\w+)}", self.path)))

    @property
    def has_csv(self) -> bool:
        """Whether it is a list, which can be had as CSV."""
        return any(parameter.name == "format" for parameter in self.parameters)


def endpoint(
    name: str, operation_id: str, respond: Respond, answer: type[Struct], *parameters: str | Parameter
) -> ApiEndpoint:
    """Return an endpoint below `PREFIX` whose summary and description are the docstring of what responds."""
    summary, _, description = (inspect.getdoc(respond) or "").partition("\n\n")
    texts = summary.removesuffix("."), description.replace("\n", " ")
    return ApiEndpoint(PREFIX + name, operation_id, *texts, respond, answer, known(*parameters))


class Error(Struct):
    """An error."""

    error: Annotated[str, about("What is wrong, in one line.")]


def openapi_document(endpoints: Iterable[ApiEndpoint], server: str = "") -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of some endpoints; `server` is the URL that their paths begin at."""
    described = tuple(endpoints)
    answers = [Error, *(endpoint.answer for endpoint in described if endpoint.answer is not None)]
    examples = _examples()
    _, schemas = msgspec.json.schema_components(answers, ref_template="#/components/schemas/{name}")
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rtcmpu-exporter",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server or "/"}],
        "paths": {one.path: {"get": _operation(one, examples.get(one.operation_id))} for one in described},
        "components": {
            "schemas": {name: _complete(schema) for name, schema in sorted(schemas.items())},
            "responses": {
                "NotModified": {"description": "The client has the current response.", "headers": _headers()},
                **{f"Error{status}": _error(meaning) for status, meaning in _ERRORS.items()},
            },
            "headers": {
                "ETag": {"description": "Changes with the content.", "schema": {"type": "string"}},
                "Cache-Control": {"description": "no-cache: ask before using it again.", "schema": {"type": "string"}},
            },
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic", "description": "If the exporter has users."}
            },
        },
        "security": [{}, {"basic": []}],
    }


@cache
def _examples() -> Mapping[str, Any]:
    examples: Mapping[str, Any] = yaml.safe_load(files("exporter.web.api").joinpath("examples.yml").read_text("utf-8"))
    return examples


def _operation(endpoint: ApiEndpoint, example: Any) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.operation_id,
        "summary": endpoint.summary,
        "description": endpoint.description,
        "parameters": [
            *(_parameter(parameter, "path") for parameter in endpoint.path_parameters),
            *(_parameter(parameter, "query") for parameter in endpoint.parameters),
        ],
        "responses": {"200": _answer(endpoint, example), "304": {"$ref": "#/components/responses/NotModified"}},
    }
    for status in _ERRORS:
        if status != _ONLY_WITH_NAMES or endpoint.path_parameters or _names_anything(endpoint):
            operation["responses"][str(status)] = {"$ref": f"#/components/responses/Error{status}"}
    return operation


def _names_anything(endpoint: ApiEndpoint) -> bool:
    return not {parameter.name for parameter in endpoint.parameters} <= {"format", "sort"}


def _parameter(parameter: Parameter, place: str) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": parameter.name,
        "in": place,
        "description": parameter.description,
        "required": place == "path",
        "schema": parameter.schema,
    }
    return {**described, "example": parameter.example} if parameter.example else described


def _answer(endpoint: ApiEndpoint, example: Any) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"type": "object"}}
    if endpoint.answer is not None:
        content = {"schema": {"$ref": f"#/components/schemas/{endpoint.answer.__name__}"}, "example": example}
    kinds = {JSON_TYPE: content}
    if endpoint.has_csv:
        kinds[CSV_TYPE] = {"schema": {"type": "string"}}
    return {"description": endpoint.summary, "headers": _headers(), "content": kinds}


def _error(meaning: str) -> dict[str, Any]:
    content = {"schema": {"$ref": "#/components/schemas/Error"}, "example": {"error": meaning}}
    return {"description": meaning, "content": {JSON_TYPE: content}}


def _headers() -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("ETag", "Cache-Control")}


def _complete(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema of a response, in which all fields are required and none has a default."""
    complete = {name: value for name, value in schema.items() if name != "required"}
    if "description" in schema:
        complete["description"] = inspect.cleandoc(schema["description"])
    if "properties" in schema:
        complete["properties"] = {
            name: {key: value for key, value in field.items() if key != "default"}
            for name, field in schema["properties"].items()
        }
        complete["required"] = list(schema["properties"])
    return complete
