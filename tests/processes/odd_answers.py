"""Single answers that nobody documents, one app each, and what is right to make of them."""

import asyncio
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from aiohttp import web

from tests.processes.odd_service import JSON, Answer, Exchange, Odd, Row, always, as_json, hangs, paged, raw

INVALID = frozenset({"invalid_response"})
NETWORK = frozenset({"network_error"})


def odd_answers() -> Iterator[Odd]:
    """Yield every app."""
    yield from _bodies()
    yield from _texts()
    yield from _rows()
    yield from _statuses()
    yield from _codes()
    yield from _encodings()
    yield from _connections()


def _made(make: Callable[[bytes], bytes], content_type: str = JSON, **headers: str) -> Answer:
    """Return the true page, made into something else."""

    def answer(exchange: Exchange) -> web.Response:
        named = {"Content-Type": content_type} | {name.replace("_", "-"): text for name, text in headers.items()}
        return web.Response(body=make(exchange.listed(exchange.page)), headers=named)

    return answer


def _bodies() -> Iterator[Odd]:
    """Yield bodies of a 200 that are JSON, and no page."""
    row = {"TaskId": "t", "AppId": ""}
    for name, body in {
        "null": "null",
        "list": "[]",
        "list-of-rows": '[{"TaskId": "t"}]',
        "text": '"MPUTasks"',
        "number": "12",
        "true": "true",
        "empty-object": "{}",
        "no-request-id": '{"MPUTasks": []}',
        "empty-request-id": '{"RequestId": "", "MPUTasks": []}',
        "numeric-request-id": '{"RequestId": 5, "MPUTasks": []}',
        "lower-case-request-id": '{"requestid": "r", "MPUTasks": []}',
        "list-is-object": '{"RequestId": "r", "MPUTasks": {}}',
        "list-is-text": '{"RequestId": "r", "MPUTasks": "none"}',
        "list-is-empty-text": '{"RequestId": "r", "MPUTasks": ""}',
        "list-is-zero": '{"RequestId": "r", "MPUTasks": 0}',
        "list-is-false": '{"RequestId": "r", "MPUTasks": false}',
        "list-in-object": '{"RequestId": "r", "MPUTasks": {"MPUTask": [{"TaskId": "t"}]}}',
        "lower-case-list": '{"RequestId": "r", "mputasks": [{"TaskId": "t"}]}',
        "lower-case-empty-list": '{"RequestId": "r", "mputasks": []}',
        "other-list": '{"RequestId": "r", "Tasks": [{"TaskId": "t"}]}',
        "other-list-beside": '{"RequestId": "r", "MPUTasks": [], "Tasks": [{"TaskId": "t"}]}',
        "wrapped": '{"RequestId": "r", "Data": {"MPUTasks": [{"TaskId": "t"}]}}',
        "wrapped-empty": '{"RequestId": "r", "Data": {"MPUTasks": []}}',
        "whole-wrapped": '{"Response": {"RequestId": "r", "MPUTasks": []}}',
        "list-twice": '{"RequestId": "r", "MPUTasks": [{"TaskId": "t"}], "MPUTasks": []}',
        "list-twice-null": '{"RequestId": "r", "MPUTasks": [{"TaskId": "t"}], "MPUTasks": null}',
        "list-twice-first-empty": '{"RequestId": "r", "MPUTasks": [], "MPUTasks": [{"TaskId": "t"}]}',
        "list-twice-escaped": '{"RequestId": "r", "MPUTasks": [{"TaskId": "t"}], "\\u004dPUTasks": []}',
        "list-twice-other-case": '{"RequestId": "r", "MPUTasks": [], "MpuTasks": null}',
        "deep": '{"RequestId": "r", "MPUTasks": ' + "[" * 100_000 + "]" * 100_000 + "}",
        "101-rows": json.dumps({"RequestId": "r", "MPUTasks": [row] * 101}),
        "row-of-another-app": '{"RequestId": "r", "MPUTasks": [{"TaskId": "t", "AppId": "another"}]}',
        "html-in-message": '{"RequestId": "r", "Message": "<b>", "Code": "Whatever", "MPUTasks": []}',
    }.items():
        yield always(f"body-{name}", raw(body.encode()), *INVALID)
    for name, error, state in (
        ("internal-error", {"Code": "InternalError"}, "server_error"),
        ("throttling", {"Code": "Throttling.User"}, "throttled"),
        ("lower-case", {"code": "throttling", "message": "m"}, "throttled"),
        ("forbidden", {"Code": "Forbidden.RAM"}, "auth_error"),
        ("not-enabled", {"Code": "OperationDenied"}, "not_enabled"),
        ("app-invalid", {"Code": "InvalidAppId"}, "app_invalid"),
        ("unknown", {"Code": "Whatever"}, "invalid_response"),
        ("number", {"Code": 500}, "invalid_response"),
        ("error-code", {"errorCode": "Whatever"}, "invalid_response"),
        ("error", {"error": "failed"}, "invalid_response"),
        ("success-false", {"Success": False}, "invalid_response"),
        ("success-text", {"success": "false", "Code": "200"}, "invalid_response"),
    ):
        yield always(f"error-beside-empty-{name}", as_json({"RequestId": "r", "MPUTasks": [], **error}), state)
        if name not in {"internal-error", "unknown", "success-false"}:
            continue
        yield always(f"error-alone-{name}", as_json({"RequestId": "r", **error}), state)
        yield always(
            f"error-beside-rows-{name}",
            _with_error(error),
            state,
        )


def _with_error(error: Row) -> Answer:
    """Return the true page, and an error beside it."""
    return lambda exchange: web.json_response({"RequestId": "r", "MPUTasks": exchange.page, **error})


def _followed_by(rows: list[Any]) -> Answer:
    """Return the true page, and more rows."""
    return paged(lambda exchange: [*exchange.page, *rows][: exchange.asked.page_size])


def _texts() -> Iterator[Odd]:
    """Yield bodies of a 200 that are no JSON, or only nearly."""
    for name, make in {
        "empty": lambda _: b"",
        "spaces": lambda _: b"  \n ",
        "html": lambda _: b"<html><body>Welcome</body></html>",
        "cut-off": lambda page: page[: len(page) // 2],
        "cut-at-the-end": lambda page: page[:-1],
        "trailing-garbage": lambda page: page + b"x",
        "two-documents": lambda page: page + page,
        "jsonp": lambda page: b"callback(" + page + b")",
        "single-quotes": lambda page: page.replace(b'"', b"'"),
        "comment": lambda page: b"/* */" + page,
        "byte-order-mark": lambda page: b"\xef\xbb\xbf" + page,
        "utf-16": lambda page: page.decode().encode("utf-16"),
        "utf-16-bare": lambda page: page.decode().encode("utf-16-le"),
        "nan": lambda page: page.replace(b'"60"', b"NaN"),
        "zeros": lambda page: bytes(len(page)),
    }.items():
        yield always(f"text-{name}", _made(make), *INVALID)
    for name, make in {
        "pretty": lambda page: json.dumps(json.loads(page), indent=4).encode(),
        "compact": lambda page: json.dumps(json.loads(page), separators=(",", ":")).encode(),
        "reversed-members": lambda page: json.dumps(dict(reversed(json.loads(page).items()))).encode(),
        "white-space-around": lambda page: b"\r\n\t" + page + b"\n\n",
        "not-utf-8": lambda page: page.replace(b"channel", b"chann\xe9l"),
        "half-character": lambda page: page.replace(b"channel", b"\\ud83d"),
        "more-members": lambda page: json.dumps({"HostId": "h", "Tip": {"a": 1}, **json.loads(page)}).encode(),
        "success": lambda page: json.dumps({"Code": "200", "Success": True, **json.loads(page)}).encode(),
        "escaped-key": lambda page: page.replace(b'"MPUTasks"', b'"\\u004dPUTasks"'),
    }.items():
        yield always(f"text-{name}", _made(make), "ok")


def _rows() -> Iterator[Odd]:
    """Yield pages with odd rows beside the true ones."""
    extras: dict[str, list[Any]] = {
        "nameless": [{"TaskId": ""}, {"Region": "x"}, {"TaskId": None}],
        "of-other-types": [None, 5, "x", [], True],
        "empty": [{}] * 5,
        "long-id": [{"TaskId": "x" * 300}],
        "id-is-object": [{"TaskId": {"a": 1}}],
    }
    for name, extra in extras.items():
        yield Odd(f"rows-{name}", _followed_by(extra))
    yield Odd(
        "rows-twice",
        paged(lambda exchange: [row for row in exchange.page for _ in range(2)][:100]),
        states=frozenset({"ok", "partial"}),
    )
    yield Odd("rows-last-one-twice", paged(lambda exchange: (exchange.page + exchange.page[-1:])[:100]))


def _statuses() -> Iterator[Odd]:
    """Yield statuses and codes."""
    for status in (201, 202, 203, 206):
        yield always(f"status-{status}", as_json({"RequestId": "r", "MPUTasks": []}, status), *INVALID)
    for status in (301, 302, 303, 307, 308):
        yield always(f"status-{status}", as_json({"RequestId": "r", "MPUTasks": []}, status, Location="/x"), *NETWORK)
    for status in (400, 401, 403, 404, 405, 407, 410, 413, 414, 418, 421, 451):
        yield always(f"html-{status}", raw(b"<html>", status, "text/html"), *NETWORK)
    for status in (400, 404, 410):
        for code in ("Whatever", "InvalidAction.NotFound", "InvalidParam", "TaskNotFound"):
            yield always(f"json-{status}-{code}", as_json({"RequestId": "r", "Code": code}, status), "request_rejected")
    for status in (401, 403):
        for error in ({"Code": "Whatever"}, {"Code": "TaskNotFound"}, {}):
            answer = as_json({"RequestId": "r", **error}, status)
            yield always(f"json-{status}-{error.get('Code')}", answer, "auth_error")
    for status in (500, 501, 502, 503, 504, 520, 599):
        yield always(f"html-{status}", raw(b"<html>", status, "text/html"), "server_error")
        yield always(f"json-{status}", as_json({"RequestId": "r", "Code": "TaskNotFound"}, status), "server_error")
    yield always("html-408", raw(b"<html>", 408, "text/html"), "timeout")
    yield always("html-429", raw(b"<html>", 429, "text/html", Retry_After="1"), "throttled")
    yield always("html-403-retry-after", raw(b"<html>", 403, "text/html", Retry_After="1"), "throttled")
    yield always("html-503-retry-after", raw(b"<html>", 503, "text/html", Retry_After="1"), "server_error")


def _codes() -> Iterator[Odd]:
    """Yield refusals by code and header."""
    for name, code, headers in (
        ("code", "Rejected.Throttling", {}),
        ("remain", "InvalidParam", {"x_ratelimit_user": "Limit:50,Remain:0"}),
        ("wait", "TaskNotFound", {"x_acs_retry_after": "100"}),
        ("junk", "Throttling", {"x_acs_retry_after": "-1", "Retry_After": "junk"}),
    ):
        yield always(f"throttled-{name}", as_json({"RequestId": "r", "Code": code}, 400, **headers), "throttled")
    for code, state in (
        ("InvalidAccessKeyId.NotFound", "auth_error"),
        ("SignatureDoesNotMatch", "auth_error"),
        ("InvalidTimeStamp.Expired", "auth_error"),
        ("InvalidAppId.NotFound", "app_invalid"),
        ("AppInfoNotExist", "app_invalid"),
        ("OperationDenied.LiveNotEnabled", "not_enabled"),
        ("ServiceUnavailable", "server_error"),
    ):
        yield always(f"json-404-{code}", as_json({"RequestId": "r", "Code": code}, 404), state)


def _encodings() -> Iterator[Odd]:
    """Yield content encodings and types."""
    for name, make, encoding, states in (
        ("gzip", gzip.compress, "gzip", {"ok"}),
        ("gzip-two-members", lambda page: gzip.compress(page[:99]) + gzip.compress(page[99:]), "gzip", {"ok"}),
        ("deflate", zlib.compress, "deflate", {"ok"}),
        ("deflate-raw", lambda page: zlib.compress(page)[2:-4], "deflate", {"ok"}),
        ("identity", bytes, "identity", {"ok"}),
        ("unknown", bytes, "x-none", {"ok"} | NETWORK | INVALID),
        ("gzip-plain", bytes, "gzip", NETWORK | INVALID),
        ("gzip-cut-off", lambda page: gzip.compress(page)[:-40], "gzip", NETWORK | INVALID),
        ("gzip-wrong-sum", lambda page: gzip.compress(page)[:-8] + b"12345678", "gzip", NETWORK | INVALID | {"ok"}),
        ("gzip-twice", lambda page: gzip.compress(gzip.compress(page)), "gzip", NETWORK | INVALID),
        ("gzip-unnamed", gzip.compress, "identity", NETWORK | INVALID),
        ("brotli", bytes, "br", NETWORK | INVALID),
        ("zstd", bytes, "zstd", NETWORK | INVALID),
        ("gzip-bomb", lambda _: gzip.compress(b" " * 40_000_000), "gzip", INVALID),
    ):
        yield always(f"encoding-{name}", _made(make, Content_Encoding=encoding), *states)
    for content_type in ("text/html", "text/plain; charset=utf-16", "image/png", "nonsense"):
        yield always(f"type-{content_type}".replace(" ", ""), _made(bytes, content_type), "ok")


def _connections() -> Iterator[Odd]:
    """Yield ways in which no whole answer comes."""
    yield always("connection-closed", _written(b""), *NETWORK)
    yield always("connection-no-http", _written(b"SSH-2.0-OpenSSH_9.2\r\n"), *NETWORK)
    yield always("connection-half-a-head", _written(b"HTTP/1.1 200 OK\r\nContent-Le"), *NETWORK)
    yield always("connection-too-short", _written(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"), *NETWORK)
    yield always(
        "connection-half-a-chunk", _written(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"), *NETWORK
    )
    yield always(
        "connection-too-long",
        _written(b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{"RequestId": "r"}'),
        *INVALID,
        *NETWORK,
    )
    yield always("connection-hangs", hangs, "timeout")
    yield always("connection-drips", _drips, "timeout")


def _written(data: bytes) -> Answer:
    """Write bytes in place of an answer, and close the connection."""

    async def answer(exchange: Exchange) -> web.StreamResponse:
        transport = exchange.request.transport
        assert transport is not None
        transport.write(data)
        transport.close()
        return web.Response()

    return answer


async def _drips(exchange: Exchange) -> web.StreamResponse:
    """Answer a byte at a time."""
    response = web.StreamResponse()
    await response.prepare(exchange.request)
    with suppress(ConnectionError):
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.1)
    return response
