"""Faults: what each makes of an answer, and which requests it hits (a share, a number, or all until it is cleared)."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from exporter.simulator.listing import Parameters, answer_body, rows_json
from exporter.simulator.protocol import Response, ServiceError

SLOW_SECONDS: Final = 2.0
THROTTLED_WAIT_MILLISECONDS: Final = 2000


class Exchange(Struct, frozen=True):
    """What a fault has to work with."""

    parameters: Parameters
    request_id: str
    answer: Callable[[Parameters], Response]  # answers as if nothing were wrong

    def good(self) -> Response:
        """Return the answer as it should be."""
        return self.answer(self.parameters)

    def listing(self, tasks: bytes) -> Response:
        """Return the answer with other tasks."""
        return json_response(answer_body(self.request_id, tasks))

    def made_up(self, prefix: str, count: int, app_id: str = "") -> Response:
        """Return rows that are in no fleet, by default of the app that was asked for."""
        common = {"AppId": app_id or self.parameters.app_id, "MixMode": "1", "Region": "CN-Shanghai"}
        rows = [msgspec.json.encode({**common, "TaskId": f"{prefix}-{number}"}) for number in range(count)]
        return self.listing(rows_json(rows))


class FaultKind(Struct, frozen=True):
    """One kind of fault."""

    description: str  # one line
    broken: Callable[[Exchange], Response]


_JSON: Final = {"Content-Type": "application/json;charset=utf-8"}
_HTML: Final = {"Content-Type": "text/html"}
_THROTTLED_MESSAGE: Final = "Request was denied due to user flow control."
_RETRY_AFTER: Final = {"x-acs-retry-after": str(THROTTLED_WAIT_MILLISECONDS)}
_USER_API_LIMIT: Final = {"x-ratelimit-user-api": f"Limit:50,Remain:0,TimeLeft:{THROTTLED_WAIT_MILLISECONDS},Reset:0"}
_USER_LIMIT: Final = {"x-ratelimit-user": "Limit:50,Remain:0,TimeLeft:1000,Reset:0"}


def error_response(error: ServiceError, request_id: str) -> Response:
    """Return the documented answer to a request that is refused."""
    return Response(error.status, {**_JSON, **error.headers}, error.body(request_id))


def json_response(body: bytes, status: int = 200) -> Response:
    """Return an answer that says it is JSON."""
    return Response(status, _JSON, body)


def _refused(
    description: str, message: str, code: str = "", status: int | None = None, headers: Mapping[str, str] | None = None
) -> FaultKind:
    """Return a fault that refuses the request, by default with the code that the description begins with."""
    error = ServiceError(code or description.partition(",")[0], message, status=status, headers=headers)
    return FaultKind(description, lambda exchange: error_response(error, exchange.request_id))


def _throttled(description: str, status: int, headers: Mapping[str, str] | None = None) -> FaultKind:
    return _refused(description, _THROTTLED_MESSAGE, "Throttling.User", status, headers)


def _constant(description: str, response: Response) -> FaultKind:
    return FaultKind(description, lambda _: response)


def _html(description: str, status: int, title: str, headers: Mapping[str, str] | None = None) -> FaultKind:
    page = f"<html><head><title>{status} {title}</title></head><body><h1>{title}</h1></body></html>"
    return _constant(description, Response(status, {**_HTML, **(headers or {})}, page.encode()))


def _lower_case_error(exchange: Exchange) -> Response:
    body = {"code": "InternalError", "message": "An error occurred.", "requestId": exchange.request_id}
    return json_response(msgspec.json.encode(body), 500)


def _short_page(exchange: Exchange) -> Response:
    good = exchange.good()
    if good.status != 200:
        return good
    rows = msgspec.json.decode(good.body, type=dict[str, msgspec.Raw]).get("MPUTasks", msgspec.Raw(b"null"))
    bodies = [bytes(row) for row in msgspec.json.decode(rows, type=list[msgspec.Raw] | None) or ()]
    return exchange.listing(rows_json(bodies[: len(bodies) * 2 // 3]))


def _truncated(exchange: Exchange) -> Response:
    body = exchange.good().body
    return json_response(body[: len(body) * 2 // 3])


def _no_request_id(exchange: Exchange) -> Response:
    fields = msgspec.json.decode(exchange.good().body, type=dict[str, msgspec.Raw])
    fields.pop("RequestId", None)
    return json_response(msgspec.json.encode(fields))


def _slow(exchange: Exchange) -> Response:
    good = exchange.good()
    return replace(good, delay_seconds=good.delay_seconds + SLOW_SECONDS)


_WAIT: Final = "the same with x-acs-retry-after"

FAULTS: Final[Mapping[str, FaultKind]] = {
    "throttled_400": _throttled("Throttling.User as 400", 400),
    "throttled_429": _throttled("Throttling.User as 429", 429),
    "throttled_503": _throttled("Throttling.User as 503", 503),
    "throttled_400_wait": _throttled(_WAIT, 400, _RETRY_AFTER),
    "throttled_429_wait": _throttled(_WAIT, 429, _RETRY_AFTER),
    "throttled_503_wait": _throttled(_WAIT, 503, _RETRY_AFTER),
    "throttled_user_api": _throttled("400 with x-ratelimit-user-api", 400, _USER_API_LIMIT),
    "throttled_by_proxy": _html("429 as HTML with Retry-After", 429, "Too Many Requests", {"Retry-After": "2"}),
    "internal_error": _refused("InternalError, 500", "An error occurred."),
    "service_unavailable": _refused("ServiceUnavailable, 503", "The service is unavailable."),
    "bad_gateway": _html("502 as HTML", 502, "Bad Gateway"),
    "blocked_by_proxy": _html("403 as HTML", 403, "Forbidden"),
    "lower_case_error": FaultKind("500 whose keys are in lower case", _lower_case_error),
    "truncated_json": FaultKind("200 that ends in the middle", _truncated),
    "not_json": _html("200 that is HTML", 200, "Welcome"),
    "tasks_not_a_list": FaultKind("MPUTasks is a string", lambda it: it.listing(b'"none"')),
    "no_request_id": FaultKind("RequestId is missing", _no_request_id),
    "body_is_a_list": FaultKind("the body is an array", lambda it: json_response(b"[%s]" % it.good().body)),
    "reset": _constant("the connection is reset", Response(200, _JSON, b"", delivery="reset")),
    "hang": _constant("no answer ever comes", Response(200, _JSON, b"", delivery="hang")),
    "slow": FaultKind(f"the answer takes {SLOW_SECONDS:g} s longer", _slow),
    "redirect": _constant("302 to another place", Response(302, {"Location": "http://127.0.0.1:9/"}, b"")),
    "endless_pages": FaultKind(
        "each page is full of new rows",
        lambda it: it.made_up(f"endless-{it.parameters.page_no}", it.parameters.page_size),
    ),
    "repeated_pages": FaultKind("each page is the first one", lambda it: it.answer(replace(it.parameters, page_no=1))),
    "too_many_rows": FaultKind(
        "more rows than asked for", lambda it: it.made_up("surplus", it.parameters.page_size + 1)
    ),
    "foreign_app_id": FaultKind("a row of another app", lambda it: it.made_up("foreign", 1, "another-app")),
    "other_tasks": FaultKind("tasks that were not asked for", lambda it: it.made_up("not-asked-for", 2)),
    "wrong_key": _refused("InvalidAccessKeyId.NotFound, 404", "Specified access key is not found."),
    "inactive_key": _refused("InvalidAccessKeyId.Inactive", "Specified access key is disabled."),
    "expired_token": _refused("InvalidSecurityToken.Expired", "Specified SecurityToken is expired."),
    "malformed_token": _refused("InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed."),
    "wrong_signature": _refused("SignatureDoesNotMatch", "Specified signature does not match our calculation."),
    "nonce_used": _refused("SignatureNonceUsed", "Specified signature nonce was used already."),
    "expired_timestamp": _refused(
        "InvalidTimeStamp.Expired, whatever the date", "Specified time stamp or date value is expired."
    ),
    "forbidden": _refused("Forbidden, 403", "User not authorized."),
    "forbidden_ram": _refused("Forbidden.RAM, 403", "User not authorized to operate on the resource."),
    "not_enabled": _refused("OperationDenied, 403", "The service is not enabled."),
    "invalid_app": _refused("InvalidAppId", "The specified AppId is invalid."),
    "app_not_found": _refused("AppInfoNotExist, 404", "The specified app does not exist."),
    "rejected": _refused("InvalidParam", "A parameter is invalid."),
    "rejected_throttling": _refused("Rejected.Throttling, 400", _THROTTLED_MESSAGE, status=400),
    "unknown_code": _refused("a code that nobody knows, 400", "It is refused.", "Odd.Refusal", 400),
    "unknown_code_user_limit": _refused(
        "the same with x-ratelimit-user: Remain:0", "It is refused.", "Odd.Refusal", 400, _USER_LIMIT
    ),
    "no_such_action": _refused("InvalidAction.NotFound, 404", "Specified api is not found."),
    "not_found_page": _html("404 as HTML", 404, "Not Found"),
    "empty_list": FaultKind("MPUTasks is empty", lambda it: it.listing(b"[]")),
    "short_page": FaultKind("the last third of the page's rows is missing", _short_page),
}
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
