"""What an answer looks like: text, JSON, an error, a health check, ready bytes."""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from aiohttp import hdrs, web

from exporter import __version__

SAFE_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Server": f"rtcmpu-exporter/{__version__}",
}
"""What every answer carries: pages load nothing but our own style sheet and script, and nothing else runs."""

_PIECE_BYTES: Final = 64 * 1024


def text_answer(text: str, content_type: str = "text/plain", status: int = 200) -> web.Response:
    """Return text as it is at this moment, not to be kept."""
    return web.Response(
        body=text.encode("utf-8", "replace"),
        status=status,
        content_type=content_type,
        charset="utf-8",
        headers={hdrs.CACHE_CONTROL: "no-store"},
    )


def json_answer(document: Mapping[str, Any], status: int = 200) -> web.Response:
    """Return a JSON answer, in pure ASCII since that holds any text."""
    return text_answer(json.dumps(document) + "\n", "application/json", status)


def error_answer(path: str, status: int, message: str) -> web.Response:
    """Return an error in the shape that readers of `path` expect: JSON below /api/, else a line of text."""
    if path.startswith("/api/"):
        return json_answer({"error": message}, status)
    return text_answer(message + "\n", status=status)


def listed_header(request: web.Request, name: str) -> str:
    """Return a header that is a list: it may stand in several lines."""
    return ",".join(request.headers.getall(name, ()))


def probe_answer(name: str, obstacle: str | None) -> web.Response:
    """Answer a health check: 200 with its name, or 503 with what stands in the way."""
    return text_answer(f"{obstacle or name}\n", status=200 if obstacle is None else 503)


async def stream(
    request: web.Request, headers: Mapping[str, str], chunks: Iterable[bytes], *, longest_seconds: float
) -> web.StreamResponse:
    """Send ready bytes as they are; `headers` has their Content-Length.

    Raises:
        ConnectionError: The client went away, or took longer than `longest_seconds` and was cut off.
    """
    response = web.StreamResponse(headers=headers)
    try:
        async with asyncio.timeout(longest_seconds):
            await response.prepare(request)
            if request.method != hdrs.METH_HEAD:
                for piece in gathered(chunks):
                    await response.write(piece)
            await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the client reads too slowly") from None
    return response


def gathered(chunks: Iterable[bytes], piece_bytes: int = _PIECE_BYTES) -> Iterator[bytes]:
    """Join small chunks to pieces of at most `piece_bytes`, since each piece costs a system call.

    A chunk of `piece_bytes` or more is handed on as it is, not copied.
    """
    small: list[bytes] = []
    size = 0
    for chunk in chunks:
        if small and size + len(chunk) > piece_bytes:
            yield b"".join(small)
            small, size = [], 0
        if len(chunk) >= piece_bytes:
            yield chunk
        elif chunk:
            small.append(chunk)
            size += len(chunk)
    if small:
        yield b"".join(small)
