"""The outside of an answer: a page split into rows that are not yet read.

Most rows are known by the digest of their bytes, so splitting and digesting is nearly all that a page costs;
`row.py` reads the others.
"""

from typing import Any, NamedTuple

import msgspec
import xxhash

from exporter.aliyun.errors import ApiError
from exporter.aliyun.lenient_json import without_lone_surrogates
from exporter.aliyun.row import ForeignRow, read_row
from exporter.state import State

__all__ = ["ForeignRow", "Page", "read_page", "read_row", "row_digest"]


class Page(NamedTuple):
    """One answer of the list."""

    request_id: str
    rows: list[msgspec.Raw]
    """Each holds on to the whole answer's bytes: read or digest it, then let it go."""
    error_code: str = ""
    """What a 200 without a list names as its error; such a page says nothing about tasks."""


class _Envelope(msgspec.Struct):
    """What stands around the rows; names and order of the fields are the vendor's."""

    request_id: Any = msgspec.field(name="RequestId", default=None)
    tasks: list[msgspec.Raw] | None = msgspec.field(name="MPUTasks", default=None)
    code: Any = msgspec.field(name="Code", default=None)


def read_page(body: bytes) -> Page:
    """Split the body of a 200 into rows.

    A page whose `MPUTasks` is absent or null beside a `RequestId` has no rows. Broken Unicode costs no more than
    odd characters in its row.

    Raises:
        ApiError: invalid_response; retryable where the JSON is broken or cut off, not where its shape is another.
    """
    try:
        envelope = _decode(body)
    except msgspec.ValidationError as error:
        raise _unexpected("is not a list of tasks as documented") from error
    except RecursionError as error:
        raise _unexpected("is nested too deeply") from error
    except ValueError as error:
        raise ApiError(State.INVALID_RESPONSE, _broken(body), status=200, retryable=True) from error
    if not isinstance(envelope.request_id, str) or not envelope.request_id:
        raise _unexpected("has no RequestId: check that the endpoint is the live service's")
    is_error = envelope.tasks is None and isinstance(envelope.code, str)
    return Page(envelope.request_id, envelope.tasks or [], envelope.code if is_error else "")


def _broken(body: bytes) -> str:
    """Say what a body is that can't be decoded."""
    if body.lstrip()[:1] in {b"{", b"["}:
        return "the service's answer is no complete JSON: if that lasts, look for a proxy that cuts answers off"
    return "the service's answer is no JSON: check that the endpoint is the live service's, with no proxy in between"


def row_digest(row: msgspec.Raw) -> int:
    """Return the 64-bit digest of a row's bytes: equal bytes need no reading."""
    return xxhash.xxh3_64_intdigest(memoryview(row))


def _decode(body: bytes) -> _Envelope:
    """Decode the outside; msgspec refuses lone surrogates even where it skips, so they are mended on demand."""
    try:
        return msgspec.json.decode(body, type=_Envelope)
    except msgspec.ValidationError:
        raise
    except ValueError:
        return msgspec.json.decode(without_lone_surrogates(body), type=_Envelope)


def _unexpected(what: str) -> ApiError:
    """Return the error of a 200 whose shape is another than the documented one."""
    return ApiError(State.INVALID_RESPONSE, f"the service's answer {what}", status=200)
