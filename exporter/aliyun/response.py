"""The outside of an answer: a page split into rows that are not yet read, and bounded before that."""

import re
from typing import Any, Final, NamedTuple

import msgspec

from exporter.aliyun import lenient_json
from exporter.aliyun.errors import NAMES_OF_CODES, ApiError
from exporter.aliyun.parse_task import MAX_ROW_BYTES
from exporter.core.collection_state import State

MAX_ROWS: Final = 100  # the largest PageSize
MAX_OUTSIDE_BYTES: Final = 16 * 1024  # what may be around the list: a RequestId, or an error
MAX_COMMAS: Final = 65_536  # of a list: more than 600 values in each of 100 rows. A usual row has 50 to 200.

_NO_LIST: Final = b"null"
_LIST_KEY: Final = re.compile(rb'"MPUTasks"\s*:\s*')
_SINGULAR: Final = frozenset({"mputasks", "requestid", "success", *NAMES_OF_CODES})
"""Members that an answer may have only once, in whatever case."""
_SUCCESS_CODES: Final = frozenset({"0", "200", "ok", "success"})


class ListPage(NamedTuple):
    """One answer of the list."""

    rows: list[msgspec.Raw]  # each keeps the bytes of the whole list in memory: read or digest it, then drop it
    error: bytes = b""  # the answer without its list, where it reports an error; such a page says nothing about tasks


class _Envelope(msgspec.Struct):
    request_id: Any = msgspec.field(name="RequestId", default=None)
    tasks: msgspec.Raw = msgspec.field(name="MPUTasks", default_factory=lambda: msgspec.Raw(_NO_LIST))


# Elements beyond the last of these are only skipped, so that a list of millions costs no more than a scan.
_Rows = msgspec.defstruct(
    "_Rows", [(f"row_{place}", msgspec.Raw, None) for place in range(MAX_ROWS + 1)], array_like=True
)
_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
_ROWS: Final = msgspec.json.Decoder(_Rows)


def read_page(body: bytes) -> ListPage:
    """Split the body of a 200 into rows, none if `MPUTasks` is `[]`, absent or null beside a `RequestId`.

    Raises ApiError (invalid_response), retryable where the JSON is broken or cut off, not where its shape is another.
    """
    try:
        return _read(body)
    except msgspec.ValidationError as error:
        raise _unexpected("is not a list of tasks as documented") from error
    except RecursionError as error:
        raise _unexpected("is nested too deeply") from error
    except ValueError as error:
        raise ApiError(State.INVALID_RESPONSE, _broken(body), status=200, retryable=True) from error


def _read(body: bytes) -> ListPage:
    body, envelope = _decode(body)
    tasks = bytes(envelope.tasks)
    rows = [] if tasks == _NO_LIST else _split(tasks)
    outside = _outside(body, tasks)
    members = lenient_json.decode_members(outside)
    if not isinstance(envelope.request_id, str) or not envelope.request_id:
        raise _unexpected("has no RequestId: check that the endpoint is the live service's")
    names = [name.casefold() for name, _ in members]
    if any(names.count(name) > 1 for name in _SINGULAR):
        raise _unexpected("names one of its members twice")
    if any(_reports_error(name, value) for name, value in members):
        return ListPage([], error=outside)
    if not rows and _holds_list(members):
        raise _unexpected("has a list under another name than MPUTasks")
    return ListPage(rows)


def _decode(body: bytes) -> tuple[bytes, _Envelope]:
    """Decode the outside; msgspec refuses lone surrogates even where it skips, so they are mended on demand."""
    try:
        return body, _ENVELOPE.decode(body)
    except msgspec.ValidationError:
        raise
    except ValueError:
        mended = lenient_json.without_lone_surrogates(body)
        return mended, _ENVELOPE.decode(mended)


def _split(tasks: bytes) -> list[msgspec.Raw]:
    if tasks.count(b",") > MAX_COMMAS:
        raise _unexpected("has more values than a page of tasks can have")
    rows = [row for row in msgspec.structs.astuple(_ROWS.decode(tasks)) if row is not None]
    if len(rows) > MAX_ROWS:
        raise _unexpected(f"lists more than {MAX_ROWS} tasks")
    if any(len(memoryview(row)) > MAX_ROW_BYTES for row in rows):
        raise _unexpected(f"has a task of more than {MAX_ROW_BYTES // 1024} KiB")
    return rows


def _outside(body: bytes, tasks: bytes) -> bytes:
    outside = body
    for key in _LIST_KEY.finditer(body):
        if body.startswith(tasks, key.end()):
            outside = body[: key.end()] + _NO_LIST + body[key.end() + len(tasks) :]
            break
    if len(outside) > MAX_OUTSIDE_BYTES:
        raise _unexpected("has much more in it than a list of tasks")
    return outside


def _reports_error(name: str, value: Any) -> bool:
    spelled = value.strip().casefold() if isinstance(value, str) else value
    if name.casefold() == "success":
        return spelled is False or spelled == "false"
    is_success = isinstance(spelled, str) and spelled in _SUCCESS_CODES
    return name.casefold() in NAMES_OF_CODES and bool(spelled) and not is_success


def _holds_list(value: Any) -> bool:
    return isinstance(value, list) or (isinstance(value, tuple) and any(_holds_list(inner) for _, inner in value))


def _broken(body: bytes) -> str:
    if body.lstrip()[:1] in {b"{", b"["}:
        return "the service's answer is no complete JSON: if that lasts, look for a proxy that cuts answers off"
    return "the service's answer is no JSON: check that the endpoint is the live service's, with no proxy in between"


def _unexpected(what: str) -> ApiError:
    return ApiError(State.INVALID_RESPONSE, f"the service's answer {what}", status=200)
