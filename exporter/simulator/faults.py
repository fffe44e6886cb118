"""Faults: what each makes of an answer, and which requests it hits (a share, a number, or all until it is cleared)."""

from collections.abc import Callable, Mapping
from random import Random
from types import MappingProxyType
from typing import Final, Literal

import msgspec
from msgspec import Struct, field

from exporter.simulator.listing import Parameters, answer_body, rows_json
from exporter.simulator.protocol import Response, ServiceError

SLOW_SECONDS: Final = 2.0
THROTTLED_WAIT_MILLISECONDS: Final = 2000


class Exchange(Struct, frozen=True):
    """What a fault has to work with."""

    parameters: Parameters
    request_id: str
    good: Callable[[Parameters], Response]  # answers as if nothing were wrong


class _Listed(Struct):
    """The rows of an answer."""

    rows: list[msgspec.Raw] | None = field(name="MPUTasks", default=None)


Break = Callable[[Exchange], Response]

_JSON: Final = MappingProxyType({"Content-Type": "application/json;charset=utf-8"})
_HTML: Final = MappingProxyType({"Content-Type": "text/html"})
_THROTTLED_MESSAGE: Final = "Request was denied due to user flow control."
_RETRY_AFTER: Final = MappingProxyType({"x-acs-retry-after": str(THROTTLED_WAIT_MILLISECONDS)})
_USER_API_LIMIT: Final = MappingProxyType(
    {"x-ratelimit-user-api": f"Limit:50,Remain:0,TimeLeft:{THROTTLED_WAIT_MILLISECONDS},Reset:0"}
)
_USER_LIMIT: Final = MappingProxyType({"x-ratelimit-user": "Limit:50,Remain:0,TimeLeft:1000,Reset:0"})


def error_response(error: ServiceError, request_id: str) -> Response:
    """Return the documented answer to a request that is refused."""
    return Response(error.status, {**_JSON, **error.headers}, error.body(request_id))


def json_response(body: bytes, status: int = 200) -> Response:
    """Return an answer that says it is JSON."""
    return Response(status, _JSON, body)


def _refused(code: str, message: str, status: int | None = None, headers: Mapping[str, str] | None = None) -> Break:
    """Return a fault that refuses the request with a code."""

    def broken(exchange: Exchange) -> Response:
        """Return the refusal."""
        error = ServiceError(code, message, status=status, headers=headers)
        return error_response(error, exchange.request_id)

    return broken


def _throttled(status: int, headers: Mapping[str, str] | None = None) -> Break:
    """Return a fault that throttles."""
    return _refused("Throttling.User", _THROTTLED_MESSAGE, status, headers)


def _constant(response: Response) -> Break:
    """Return a fault that always answers the same."""
    return lambda _exchange: response


def _html(status: int, title: str, headers: Mapping[str, str] | None = None) -> Break:
    """Return a fault by which something between client and service answers with a page."""
    page = f"<html><head><title>{status} {title}</title></head><body><h1>{title}</h1></body></html>"
    return _constant(Response(status, {**_HTML, **(headers or {})}, page.encode()))


def _lower_case_error(exchange: Exchange) -> Response:
    """Return an error whose keys are spelled otherwise."""
    body = {"code": "InternalError", "message": "An error occurred.", "requestId": exchange.request_id}
    return json_response(msgspec.json.encode(body), 500)


def _truncated(exchange: Exchange) -> Response:
    """Return two thirds of the answer."""
    good = exchange.good(exchange.parameters)
    return json_response(good.body[: len(good.body) * 2 // 3])


def _tasks_not_a_list(exchange: Exchange) -> Response:
    """Return an answer whose list is a string."""
    return json_response(answer_body(exchange.request_id, b'"none"'))


def _empty_list(exchange: Exchange) -> Response:
    """Return an answer without a row."""
    return json_response(answer_body(exchange.request_id, b"[]"))


def _short_page(exchange: Exchange) -> Response:
    """Return the answer without its last third of rows."""
    good = exchange.good(exchange.parameters)
    if good.status != 200:
        return good
    rows = msgspec.json.decode(good.body, type=_Listed).rows or []
    return json_response(
        answer_body(exchange.request_id, rows_json([bytes(row) for row in rows[: len(rows) * 2 // 3]]))
    )


def _no_request_id(exchange: Exchange) -> Response:
    """Return the answer without its RequestId."""
    good = exchange.good(exchange.parameters)
    fields = msgspec.json.decode(good.body, type=dict[str, msgspec.Raw])
    fields.pop("RequestId", None)
    return json_response(msgspec.json.encode(fields))


def _body_is_a_list(exchange: Exchange) -> Response:
    """Return the answer within an array."""
    return json_response(b"[" + exchange.good(exchange.parameters).body + b"]")


def _delivered(delivery: Literal["reset", "hang"]) -> Break:
    """Return a fault that brings no answer at all."""
    return _constant(Response(200, _JSON, b"", delivery=delivery))


def _slow(exchange: Exchange) -> Response:
    """Return the answer, late."""
    good = exchange.good(exchange.parameters)
    return msgspec.structs.replace(good, delay_seconds=good.delay_seconds + SLOW_SECONDS)


def _endless_pages(exchange: Exchange) -> Response:
    """Return a full page of rows that no other page has."""
    asked = exchange.parameters
    rows = _made_up_rows(asked.app_id, f"endless-{asked.page_no}", asked.page_size)
    return json_response(answer_body(exchange.request_id, rows_json(rows)))


def _repeated_pages(exchange: Exchange) -> Response:
    """Return the first page, whichever was asked for."""
    return exchange.good(msgspec.structs.replace(exchange.parameters, page_no=1))


def _too_many_rows(exchange: Exchange) -> Response:
    """Return one row more than the page may have."""
    asked = exchange.parameters
    surplus = _made_up_rows(asked.app_id, "surplus", asked.page_size + 1)
    return json_response(answer_body(exchange.request_id, rows_json(surplus)))


def _foreign_app_id(exchange: Exchange) -> Response:
    """Return a row of an app that was not asked for."""
    rows = _made_up_rows("another-app", "foreign", 1)
    return json_response(answer_body(exchange.request_id, rows_json(rows)))


def _other_tasks(exchange: Exchange) -> Response:
    """Return tasks that nobody asked for."""
    rows = _made_up_rows(exchange.parameters.app_id, "not-asked-for", 2)
    return json_response(answer_body(exchange.request_id, rows_json(rows)))


def _made_up_rows(app_id: str, prefix: str, count: int) -> list[bytes]:
    """Return rows that are in no fleet."""
    return [
        msgspec.json.encode({"AppId": app_id, "TaskId": f"{prefix}-{number}", "MixMode": "1", "Region": "CN-Shanghai"})
        for number in range(count)
    ]


class FaultKind(Struct, frozen=True):
    """One kind of fault."""

    description: str  # one line
    broken: Break


FAULTS: Final[Mapping[str, FaultKind]] = MappingProxyType(
    {
        "throttled_400": FaultKind("Throttling.User as 400", _throttled(400)),
        "throttled_429": FaultKind("Throttling.User as 429", _throttled(429)),
        "throttled_503": FaultKind("Throttling.User as 503", _throttled(503)),
        "throttled_400_wait": FaultKind("the same with x-acs-retry-after", _throttled(400, _RETRY_AFTER)),
        "throttled_429_wait": FaultKind("the same with x-acs-retry-after", _throttled(429, _RETRY_AFTER)),
        "throttled_503_wait": FaultKind("the same with x-acs-retry-after", _throttled(503, _RETRY_AFTER)),
        "throttled_user_api": FaultKind("400 with x-ratelimit-user-api", _throttled(400, _USER_API_LIMIT)),
        "throttled_by_proxy": FaultKind(
            "429 as HTML with Retry-After", _html(429, "Too Many Requests", {"Retry-After": "2"})
        ),
        "internal_error": FaultKind("InternalError, 500", _refused("InternalError", "An error occurred.")),
        "service_unavailable": FaultKind(
            "ServiceUnavailable, 503", _refused("ServiceUnavailable", "The service is unavailable.")
        ),
        "bad_gateway": FaultKind("502 as HTML", _html(502, "Bad Gateway")),
        "blocked_by_proxy": FaultKind("403 as HTML", _html(403, "Forbidden")),
        "lower_case_error": FaultKind("500 whose keys are in lower case", _lower_case_error),
        "truncated_json": FaultKind("200 that ends in the middle", _truncated),
        "not_json": FaultKind("200 that is HTML", _html(200, "Welcome")),
        "tasks_not_a_list": FaultKind("MPUTasks is a string", _tasks_not_a_list),
        "no_request_id": FaultKind("RequestId is missing", _no_request_id),
        "body_is_a_list": FaultKind("the body is an array", _body_is_a_list),
        "reset": FaultKind("the connection is reset", _delivered("reset")),
        "hang": FaultKind("no answer ever comes", _delivered("hang")),
        "slow": FaultKind(f"the answer takes {SLOW_SECONDS:g} s longer", _slow),
        "redirect": FaultKind(
            "302 to another place", _constant(Response(302, {"Location": "http://127.0.0.1:9/"}, b""))
        ),
        "endless_pages": FaultKind("each page is full of new rows", _endless_pages),
        "repeated_pages": FaultKind("each page is the first one", _repeated_pages),
        "too_many_rows": FaultKind("more rows than asked for", _too_many_rows),
        "foreign_app_id": FaultKind("a row of another app", _foreign_app_id),
        "other_tasks": FaultKind("tasks that were not asked for", _other_tasks),
        "wrong_key": FaultKind(
            "InvalidAccessKeyId.NotFound, 404",
            _refused("InvalidAccessKeyId.NotFound", "Specified access key is not found."),
        ),
        "inactive_key": FaultKind(
            "InvalidAccessKeyId.Inactive", _refused("InvalidAccessKeyId.Inactive", "Specified access key is disabled.")
        ),
        "expired_token": FaultKind(
            "InvalidSecurityToken.Expired",
            _refused("InvalidSecurityToken.Expired", "Specified SecurityToken is expired."),
        ),
        "malformed_token": FaultKind(
            "InvalidSecurityToken.Malformed",
            _refused("InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed."),
        ),
        "wrong_signature": FaultKind(
            "SignatureDoesNotMatch",
            _refused("SignatureDoesNotMatch", "Specified signature does not match our calculation."),
        ),
        "nonce_used": FaultKind(
            "SignatureNonceUsed", _refused("SignatureNonceUsed", "Specified signature nonce was used already.")
        ),
        "expired_timestamp": FaultKind(
            "InvalidTimeStamp.Expired, whatever the date",
            _refused("InvalidTimeStamp.Expired", "Specified time stamp or date value is expired."),
        ),
        "forbidden": FaultKind("Forbidden, 403", _refused("Forbidden", "User not authorized.")),
        "forbidden_ram": FaultKind(
            "Forbidden.RAM, 403", _refused("Forbidden.RAM", "User not authorized to operate on the resource.")
        ),
        "not_enabled": FaultKind("OperationDenied, 403", _refused("OperationDenied", "The service is not enabled.")),
        "invalid_app": FaultKind("InvalidAppId", _refused("InvalidAppId", "The specified AppId is invalid.")),
        "app_not_found": FaultKind(
            "AppInfoNotExist, 404", _refused("AppInfoNotExist", "The specified app does not exist.")
        ),
        "rejected": FaultKind("InvalidParam", _refused("InvalidParam", "A parameter is invalid.")),
        "rejected_throttling": FaultKind(
            "Rejected.Throttling, 400", _refused("Rejected.Throttling", _THROTTLED_MESSAGE, 400)
        ),
        "unknown_code": FaultKind("a code that nobody knows, 400", _refused("Odd.Refusal", "It is refused.", 400)),
        "unknown_code_user_limit": FaultKind(
            "the same with x-ratelimit-user: Remain:0", _refused("Odd.Refusal", "It is refused.", 400, _USER_LIMIT)
        ),
        "no_such_action": FaultKind(
            "InvalidAction.NotFound, 404", _refused("InvalidAction.NotFound", "Specified api is not found.")
        ),
        "not_found_page": FaultKind("404 as HTML", _html(404, "Not Found")),
        "empty_list": FaultKind("MPUTasks is empty", _empty_list),
        "short_page": FaultKind("the last third of the page's rows is missing", _short_page),
    }
)
"""Every fault by name."""


class Fault(Struct, forbid_unknown_fields=True):
    """One fault that is switched on, and the requests that it may hit."""

    name: str
    rate: float = 1.0  # the share of the matching requests that it hits
    count: int | None = None  # how many more times it hits; None: until it is cleared
    app_id: str | None = None
    kind: Literal["page", "look_up"] | None = None
    page_no: int | None = None

    def __post_init__(self) -> None:
        if self.name not in FAULTS:
            raise ValueError(f"unknown fault {self.name!r}; there are: {', '.join(FAULTS)}")
        if not 0 <= self.rate <= 1:
            raise ValueError(f"the rate of fault {self.name} is {self.rate}, expected 0 to 1")

    def matches(self, parameters: Parameters) -> bool:
        """Whether it may hit this request."""
        return (
            self.app_id in {None, parameters.app_id}
            and self.kind in {None, parameters.kind}
            and self.page_no in {None, parameters.page_no}
            and self.count != 0
        )


class Faults:
    """The faults that are switched on, tried in the order in which they were added."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.active: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Switch a fault on."""
        self.active.append(fault)

    def clear(self, name: str | None = None) -> None:
        """Switch off all faults, or those of one name."""
        self.active = [fault for fault in self.active if name is not None and fault.name != name]

    def hit(self, parameters: Parameters) -> str | None:
        """Return the name of the fault that hits this request, if any, and count it."""
        for fault in self.active:
            if fault.matches(parameters) and (fault.rate >= 1 or self._random.random() < fault.rate):
                if fault.count is not None:
                    fault.count -= 1
                return fault.name
        return None
