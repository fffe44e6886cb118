"""Responses: text, JSON, errors and ready bytes, with the headers that each carries; and what a request accepts."""

import asyncio
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

import msgspec
import xxhash
from aiohttp import hdrs, web
from isal import igzip
from msgspec import Meta, Struct

from exporter import __version__
from exporter.metrics.exposition import Format

_MEDIA: Final = {
    Format.OPENMETRICS: ("application/openmetrics-text", {"1.0.0"}),
    Format.OPENMETRICS_0_0_1: ("application/openmetrics-text", {"0.0.1"}),
    # The text format 1.0.0 is 0.0.4 with more characters allowed in names, none of which are used here.
    Format.TEXT: ("text/plain", {"0.0.4", "1.0.0"}),
}


def negotiate(accept: str | None) -> Format:
    """Return the format that an Accept header likes best; text where it accepts none, since no scrape is refused.

    Between equals, OpenMetrics is preferred if it is named, and text where `*/*` stands for both.
    """
    likings = {candidate: _liking(accept or "", *_MEDIA[candidate]) for candidate in Format}
    quality, is_named = best = max(likings.values())
    liked = [candidate for candidate in Format if likings[candidate] == best]
    return Format.TEXT if quality <= 0 or (not is_named and Format.TEXT in liked) else liked[0]


def quality(accept: str, media: str) -> float:
    """Return how much an Accept header wants a media type, by its most specific range; 0: not at all."""
    return _liking(accept.strip(", \t") or "*/*", media)[0]


def wants_gzip(accept_encoding: str | None) -> bool:
    """Whether an Accept-Encoding header likes gzip at least as much as no encoding."""
    wanted = {value: _quality(parameters) for value, parameters in _entries(accept_encoding or "")}
    gzip = wanted.get("gzip", wanted.get("x-gzip", wanted.get("*", 0.0)))
    return gzip > 0 and gzip >= wanted.get("identity", 0.0)


def wants_page(request: web.Request) -> bool:
    """Whether the Accept header names HTML, as browsers do and scripts don't."""
    accepted = _entries(listed_header(request, hdrs.ACCEPT))
    return any(value == "text/html" and _quality(parameters) > 0 for value, parameters in accepted)


def _liking(accept: str, media: str, versions: Collection[str] | None = None) -> tuple[float, bool]:
    """Return the quality of the most specific entry that matches, and whether that is more than `*/*`.

    `versions`: those that there are; None: any version is the only one.
    """
    specificity = {"*/*": 0, f"{media.partition('/')[0]}/*": 1, media: 2}
    found = [(0, 0.0)]
    for value, parameters in _entries(accept):
        version = parameters.get("version", "")
        if value != media or not version or versions is None or version in versions:
            exact = 1 if value == media and version else 0
            found.append((specificity.get(value, -1) + exact, _quality(parameters)))
    most_specific, quality = max(found)
    return quality, most_specific > 0


def _entries(header: str) -> Iterator[tuple[str, dict[str, str]]]:
    for entry in filter(str.strip, header.lower().split(",")):
        value, *rest = entry.split(";")
        pairs = (parameter.partition("=") for parameter in rest)
        yield value.strip(), {name.strip(): text.strip().strip('"') for name, _, text in pairs}


def _quality(parameters: dict[str, str]) -> float:
    """Return q, 1 where it is left out; what is no number from 0 to 1 accepts nothing."""
    try:
        quality = float(parameters.get("q", "1"))
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0


ROUTE_PREFIX: Final = web.AppKey("route_prefix", str)
SAFE_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Server": f"rtcmpu-exporter/{__version__}",
}
"""Sent with every response: pages load only our style sheet and script."""

D = TypeVar("D", bound=Struct)


def text_answer(text: str, content_type: str = "text/plain", status: int = 200) -> web.Response:
    """Return a text response that must not be cached."""
    return web.Response(
        body=text.encode("utf-8", "replace"),
        status=status,
        content_type=content_type,
        charset="utf-8",
        headers={hdrs.CACHE_CONTROL: "no-store"},
    )


def json_answer(document: Mapping[str, Any], status: int = 200) -> web.Response:
    """Return a JSON response."""
    return text_answer(json_text(document) + "\n", JSON_TYPE, status)


def path_template(request: web.Request) -> str:
    """Return the template of a request's path below the prefix; `other` if it is unknown."""
    resource = request.match_info.route.resource
    return "other" if resource is None else resource.canonical.removeprefix(request.app.get(ROUTE_PREFIX, ""))


def is_api(request: web.Request) -> bool:
    """Whether a request is for a path below /api/."""
    return request.path.removeprefix(request.app.get(ROUTE_PREFIX, "")).startswith("/api/")


def error_answer(request: web.Request, status: int, message: str) -> web.Response:
    """Return an error: JSON below /api/, else a line of text."""
    if is_api(request):
        return json_answer({"error": message}, status)
    return text_answer(message + "\n", status=status)


def listed_header(request: web.Request, name: str) -> str:
    """Return a header that may be split over several lines."""
    return ",".join(request.headers.getall(name, ()))


async def stream(
    request: web.Request, headers: Mapping[str, str], chunks: Iterable[bytes], *, longest_seconds: float
) -> web.StreamResponse:
    """Send ready bytes. Raises ConnectionError if the client went away or took `longest_seconds`."""
    response = web.StreamResponse(headers=headers)
    try:
        async with asyncio.timeout(longest_seconds):
            await response.prepare(request)
            if request.method != hdrs.METH_HEAD:
                for piece in filter(None, chunks):
                    await response.write(piece)
            await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the client reads too slowly") from None
    return response


def about(description: str) -> Meta:
    """Describe a field of a document, for the code and the OpenAPI document."""
    return Meta(description=description)


_TIMES: Final = "noticed earliest first_seen last_changed since resolved oldest_violation"
_STARTS: Final = "last_update last_sweep last_attempt"
TIMES: Final = {name: f"{name}_timestamp_seconds" for name in _TIMES.split()} | {
    f"{name}_began": f"{name}_timestamp_seconds" for name in _STARTS.split()
}
"""How fields that are Unix times are called in documents."""

JSON_TYPE: Final = "application/json"
CSV_TYPE: Final = "text/csv"
WORTH_COMPRESSING_BYTES: Final = 1024

_LEVEL: Final = 2


def document_of(kind: type[D], /, *sources: Any, **values: Any) -> D:
    """Return a document whose fields are `values`, else the attributes of the first source that has them."""
    names = kind.__struct_fields__
    for source in sources:
        values |= {name: getattr(source, name) for name in names if name not in values and hasattr(source, name)}
    return kind(**values)


def revalidated_response(
    request: web.Request, body: bytes, content_type: str = JSON_TYPE, link: str = ""
) -> web.Response:
    """Return a response that the client must revalidate by its weak ETag: 304 if unchanged."""
    etag = xxhash.xxh3_128_hexdigest(body)
    headers = {hdrs.ETAG: f'W/"{etag}"', hdrs.CACHE_CONTROL: "no-cache", hdrs.VARY: "Accept, Accept-Encoding"}
    if link:
        headers[hdrs.LINK] = link
    if any(known.value in {etag, "*"} for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    if len(body) >= WORTH_COMPRESSING_BYTES and wants_gzip(listed_header(request, hdrs.ACCEPT_ENCODING)):
        body = igzip.compress(body, _LEVEL, mtime=0)
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    return web.Response(body=body, content_type=content_type, charset="utf-8", headers=headers)


def json_text(document: Any, indent: int | None = None) -> str:
    """Return JSON in ASCII, which holds any text."""
    return json.dumps(document, default=msgspec.to_builtins, allow_nan=False, indent=indent)
