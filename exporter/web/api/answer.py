"""How JSON is sent: only to those who read it, not again to those who have it, and compressed where that pays."""

from functools import wraps
from typing import Final

import xxhash
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler
from isal import igzip

from exporter.metrics.formats import wants_gzip
from exporter.web.answers import error_answer, listed_header

JSON_TYPE: Final = "application/json"
WORTH_COMPRESSING_BYTES: Final = 1024

_LEVEL: Final = 2


def json_response(request: web.Request, text: str) -> web.Response:
    """Return an answer that the client may keep and must ask about again: 304 where what it has is the same.

    The ETag is weak, since it is of the content and not of its encoding.
    """
    body = text.encode("ascii") + b"\n"
    etag = xxhash.xxh3_128_hexdigest(body)
    headers = {
        hdrs.ETAG: f'W/"{etag}"',
        hdrs.CACHE_CONTROL: "no-cache",
        hdrs.VARY: "Accept, Accept-Encoding",
    }
    if any(known.value in {etag, "*"} for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    if len(body) >= WORTH_COMPRESSING_BYTES and wants_gzip(listed_header(request, hdrs.ACCEPT_ENCODING)):
        body = igzip.compress(body, _LEVEL, mtime=0)
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    return web.Response(body=body, content_type=JSON_TYPE, charset="utf-8", headers=headers)


def for_readers_of_json(handler: Handler) -> Handler:
    """Return a handler that refuses with 406 whoever accepts something else alone."""

    @wraps(handler)
    async def answer(request: web.Request) -> web.StreamResponse:
        accept = listed_header(request, hdrs.ACCEPT)
        if not accepts_json(accept):
            return error_answer(request.path, 406, f"Accept is {accept!r}, expected one that has {JSON_TYPE} or */*")
        return await handler(request)

    return answer


def accepts_json(accept: str) -> bool:
    """Whether an Accept header has room for JSON; an empty one has room for all."""
    qualities: dict[str, bool] = {}
    for entry in accept.lower().split(","):
        media, *parameters = (part.strip() for part in entry.split(";"))
        qualities[media] = not any(_is_zero(parameter) for parameter in parameters)
    best = (JSON_TYPE, "application/*", "*/*", "")
    return next((qualities[media] for media in best if media in qualities), False)


def _is_zero(parameter: str) -> bool:
    """Whether a parameter of an Accept header says that this is not wanted."""
    name, _, value = parameter.partition("=")
    return name.strip() == "q" and not value.strip("0. ")
