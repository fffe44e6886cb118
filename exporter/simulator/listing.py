"""The rules of ListRtcMPUTaskDetail: which parameters are accepted and which rows answer them."""

import re
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from random import Random
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from exporter.simulator.fleet import FleetRow, TaskList
from exporter.simulator.protocol import ServiceError

LARGEST_SKEW_SECONDS: Final = 10 * 365 * 86_400.0  # with which there is a date
_NotNegative = Annotated[float, Meta(ge=0)]


class Variants(Struct, frozen=True, forbid_unknown_fields=True):
    """How this service answers where nothing is documented; the defaults are the likeliest answers."""

    past_end: Literal["empty", "invalid_param", "last_page"] = "empty"
    unknown_task: Literal["empty", "bad_request", "not_found", "no_list"] = "empty"
    empty_app: Literal["list", "null", "absent"] = "list"
    look_ups_counted: bool = True
    stopped_task_stays_seconds: _NotNegative = 0.0
    deepest_row: Annotated[int, Meta(ge=0)] = 0
    listed_rows: Annotated[int, Meta(ge=0)] = 0
    page_cap: Annotated[int, Meta(ge=0)] = 0
    page_cap_kind: Literal["page_size", "rows", "always"] = "page_size"
    ties: Literal["none", "stable", "changing", "by_page_size", "by_page_no"] = "none"
    changed_task_moves: bool = True
    lag_seconds: _NotNegative = 0.0
    lag_share: Annotated[float, Meta(ge=0, le=1)] = 0.5
    spelling: Literal["documented", "other_case", "new_value"] = "documented"
    compression: bool = True
    clock_skew_seconds: Annotated[float, Meta(ge=-LARGEST_SKEW_SECONDS, le=LARGEST_SKEW_SECONDS)] = 0.0

    def changed(self, changes: Mapping[str, Any]) -> "Variants":
        """Return these variants with some answered otherwise; raises msgspec.ValidationError for an unknown one."""
        return msgspec.convert({**msgspec.structs.asdict(self), **changes}, Variants, strict=False)


VARIANT_DESCRIPTIONS: Final = {
    "past_end": "a page past the end: empty, invalid_param (an error), last_page (the last one again)",
    "unknown_task": "an unknown TaskId: empty, bad_request (400), not_found (404), no_list (MPUTasks missing)",
    "empty_app": "MPUTasks of an app without tasks: list, null, absent",
    "look_ups_counted": "whether requests with a TaskId count against the limit: true, false",
    "stopped_task_stays_seconds": "how long a stopped task stays listed: 0 is not at all",
    "deepest_row": "pages that reach beyond this row are refused: 0 is no bound",
    "listed_rows": "rows beyond this one are never listed, only looked up: 0 is no bound",
    "page_cap": "the most rows of a page, whatever PageSize is: 0 is no cap",
    "page_cap_kind": "what page_cap is: page_size, rows (of a page in its place), always (rows of each page)",
    "ties": "update times of whole seconds: none, stable (one order), changing, by_page_size, by_page_no",
    "changed_task_moves": "whether a changed task moves to the front: true, false",
    "lag_seconds": "how far a second replica is behind: 0 is no second replica",
    "lag_share": "the share of requests that the second replica answers",
    "spelling": "of Region, MixMode and codec: documented, other_case, new_value",
    "compression": "whether answers are compressed for those who accept it: true, false",
    "clock_skew_seconds": "how far the server's clock is ahead",
}
"""One line for each variant."""

_RESPELLED: Final = {
    "documented": (),
    "other_case": (
        (b'"Region":"CN-Shanghai"', b'"Region":"CN-shanghai"'),
        (b'"Region":"AP-Singapore"', b'"Region":"ap-singapore"'),
        (b'"Region":"EMAA-Saudi"', b'"Region":"EMAA-SAUDI"'),
        (b'"VideoCodec":"H.26', b'"VideoCodec":"h.26'),
    ),
    "new_value": (
        (b'"Region":"AP-Singapore"', b'"Region":"EU-Frankfurt"'),
        (b'"MixMode":"0"', b'"MixMode":"2"'),
        (b'"VideoCodec":"H.265"', b'"VideoCodec":"AV1"'),
    ),
}


def respelled(body: bytes, spelling: str) -> bytes:
    """Return a row in the spelling of a variant."""
    for documented, other in _RESPELLED[spelling]:
        body = body.replace(documented, other)
    return body


MAX_PAGE_SIZE: Final = 100

_APP_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,55}")
_NUMBER = re.compile(r"[0-9]{1,9}")


class Parameters(Struct, frozen=True):
    """A request: for one page of an app, or one task of it."""

    app_id: str
    page_no: int = 1
    page_size: int = MAX_PAGE_SIZE
    task_id: str = ""  # not empty: a look-up, and paging does not matter

    @property
    def kind(self) -> str:
        """`look_up` or `page`."""
        return "look_up" if self.task_id else "page"


def read_parameters(query: Mapping[str, str]) -> Parameters:
    """Read the parameters of a request; raises ServiceError if one is missing or not as documented."""
    app_id = query.get("AppId", "")
    if not app_id:
        raise ServiceError("MissingParam", "AppId is mandatory for this action.")
    if _APP_ID.fullmatch(app_id) is None:
        raise ServiceError("InvalidAppId", "The specified AppId is invalid.")
    task_id = query.get("TaskId", "")
    if task_id:
        if _TASK_ID.fullmatch(task_id) is None:
            raise ServiceError("InvalidParam", "The specified TaskId is invalid.")
        return Parameters(app_id, task_id=task_id)
    numbers = []
    for name, highest in (("PageNo", 10**9), ("PageSize", MAX_PAGE_SIZE)):
        text = query.get(name, "")
        if not text:
            raise ServiceError("MissingParam", f"{name} is mandatory for this action.")
        if _NUMBER.fullmatch(text) is None or not 1 <= int(text) <= highest:
            raise ServiceError("InvalidParam", f"The specified {name} is invalid.")
        numbers.append(int(text))
    return Parameters(app_id, page_no=numbers[0], page_size=numbers[1])


def rows_json(rows: list[bytes]) -> bytes:
    """Return rows as the array `MPUTasks`."""
    return b"[" + b",".join(rows) + b"]"


def answer_body(request_id: str, tasks: bytes | None) -> bytes:
    """Return the body of an answer; None leaves `MPUTasks` out."""
    if tasks is None:
        return b'{"RequestId":"%s"}' % request_id.encode()
    return b'{"RequestId":"%s","MPUTasks":%s}' % (request_id.encode(), tasks)


def list_page(tasks: TaskList, parameters: Parameters, variants: Variants, random: Random) -> bytes | None:
    """Return the array `MPUTasks` of one page, None where it is left out; raises ServiceError for a refusal."""
    count = min(len(tasks), variants.listed_rows or len(tasks))
    start, size = _window(parameters, variants)
    if variants.deepest_row and start + size > variants.deepest_row:
        raise ServiceError("InvalidParam", "The specified PageNo is out of range.")
    if count == 0 and start == 0:
        return {"list": b"[]", "null": b"null", "absent": None}[variants.empty_app]
    if start >= count:
        if variants.past_end == "invalid_param":
            raise ServiceError("InvalidParam", "The specified PageNo is out of range.")
        if variants.past_end == "empty" or count == 0:
            return b"[]"
        start = (count - 1) // size * size
    stop = min(start + size, count)
    if variants.page_cap and variants.page_cap_kind == "rows":
        stop = min(stop, start + variants.page_cap)
    if variants.ties == "none":
        rows = tasks.order[start:stop]
    else:
        rows = _page_with_ties(tasks.order, start, stop, _salt(parameters, variants, random))
    return rows_json([respelled(row.body, variants.spelling) for row in rows])


def look_up(tasks: TaskList, parameters: Parameters, variants: Variants) -> bytes | None:
    """Return the array `MPUTasks` with the one task, None where it is left out; raises ServiceError for a refusal."""
    row = tasks.rows.get(parameters.task_id)
    if row is not None:
        return rows_json([respelled(row.body, variants.spelling)])
    if variants.unknown_task == "bad_request":
        raise ServiceError("InvalidParam", "The specified TaskId does not exist.")
    if variants.unknown_task == "not_found":
        raise ServiceError("TaskNotExist", "The specified task does not exist.")
    return b"[]" if variants.unknown_task == "empty" else None


def _window(parameters: Parameters, variants: Variants) -> tuple[int, int]:
    size = parameters.page_size
    if variants.page_cap and variants.page_cap_kind != "rows":
        size = variants.page_cap if variants.page_cap_kind == "always" else min(size, variants.page_cap)
    return (parameters.page_no - 1) * size, size


def _salt(parameters: Parameters, variants: Variants, random: Random) -> bytes:
    match variants.ties:
        case "changing":
            return random.randbytes(4)
        case "by_page_size":
            return b"%d rows" % parameters.page_size
        case "by_page_no":
            return b"page %d" % parameters.page_no
    return b""


def _page_with_ties(order: list[FleetRow], start: int, stop: int, salt: bytes) -> list[FleetRow]:
    """Return a page of a list that is sorted by whole seconds; the salt decides the order within a second."""

    def age(place: int) -> int:
        return -int(order[place].updated_at)

    places = range(len(order))
    first, last = bisect_left(places, age(start), key=age), bisect_right(places, age(stop - 1), key=age)
    rows = sorted(order[first:last], key=lambda row: (-int(row.updated_at), zlib.crc32(salt + row.task_id.encode())))
    return rows[start - first : stop - first]
