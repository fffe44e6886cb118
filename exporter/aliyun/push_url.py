"""What is kept of a push URL: scheme, host, signer and expiry, and a digest of the stream it names.

A URL is hostile text and holds keys: nothing here raises, remembers it or shows more of it.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

import xxhash
from msgspec import Struct
from msgspec.structs import astuple

from exporter.aliyun.field_reader import NOTHING, FieldReader
from exporter.aliyun.push_signature import SIGNATURE_KEYS, SRT_MODE_KEY, WOWZA_ENDINGS, read_signature
from exporter.aliyun.row_schema import Row
from exporter.core.push_auth import NO_SIGNER, NO_TIME, TIME_BYTES
from exporter.core.task import PUSH_SCHEMES, Output

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}:|")
_HOST: Final = re.compile(r"\[[0-9A-Fa-f:.%]{1,64}+\]|[^:\[\]]{0,253}+")
_PORT: Final = re.compile(r":([0-9]{1,5})$")
_VHOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}")
LONGEST_HOST: Final = 256
LONGEST_URL: Final = 2048  # characters of a StreamURL, documented; a longer query is not read
MOST_PARAMETERS: Final = 12
MOST_READ: Final = 6  # parameters that a signature may have; it has three at most
MOST_ESCAPES: Final = 16  # of the form `%41`; a query with more of them is read as it is
REMEMBERED_SERVERS: Final = 1024
DEFAULT_PORTS: Final = ("1935", "443", "10080")  # of RTMP, RTMPS and SRT
_PLAIN_AUTHORITY: Final = re.compile(rf"([A-Za-z0-9.-]{{1,253}}+)(?::(?:{'|'.join(DEFAULT_PORTS)}))?")
_KNOWN_SCHEMES: Final = frozenset(f"{scheme}:" for scheme in PUSH_SCHEMES)
_PRINTED: Final = bytes(range(ord("!"), ord("~") + 1))  # deleting them is five times faster than `isprintable`
_KEYS: Final = SIGNATURE_KEYS | {"vhost", "bandwidthtest", SRT_MODE_KEY}
_PARTS_OF_A_SERVER: Final = 2


class PushUrl(Struct, frozen=True, gc=False):
    """What is kept of a push URL."""

    output: Output  # what may be shown
    time: int  # the time in the signature, or one of the codes of `core.push_auth`
    stream: bytes  # digest of the stream's identity: scheme family, host, path, and the query less the signature


class _Server(NamedTuple):
    """What is before the path."""

    scheme: str
    host: str
    has_userinfo: bool
    identity: str  # scheme family, and host with a port that is not the default one


def parse_push_url(url: str, *, is_ali_cdn: bool | None = None) -> PushUrl:
    """Take a URL apart; what is no URL has neither scheme nor host.

    Args:
        url: The URL.
        is_ali_cdn: What MultiStreamURL says about it.
    """
    base, _, query = url.partition("?")
    before, *parts = base.split("/", 3)
    if len(parts) < _PARTS_OF_A_SERVER or parts[0]:
        return _no_url(url, is_ali_cdn)
    path = parts[2] if len(parts) > _PARTS_OF_A_SERVER else ""
    try:
        scheme, host, has_userinfo, identity = _plain_server(before, parts[1])
    except ValueError:
        server = _any_server(before, parts[1])
        if server is None:
            return _no_url(url, is_ali_cdn)
        scheme, host, has_userinfo, identity = server
    if not query or len(query) > LONGEST_URL:
        output = Output(scheme, host, is_ali_cdn, has_userinfo, NO_SIGNER, _problem(url, path, query))
        return PushUrl(output, NO_TIME, _digest(f"{identity}/{path}?{query}"))
    names, parameters = _parameters(scheme, query)
    signer, time, not_named = read_signature(parameters)
    if "vhost" in parameters and _VHOST.fullmatch(parameters["vhost"]):
        host = parameters["vhost"].lower()
        identity = f"{_family(scheme)}://{host}"
        not_named = (*not_named, "vhost")
    rest = "&".join([part for name, part in names if name not in not_named])
    problem = _problem(url, path, rest)
    is_test = parameters.get("bandwidthtest") == "true"
    output = Output(scheme, host, is_ali_cdn, has_userinfo, signer, problem, is_test)
    return PushUrl(output, time, _digest(f"{identity}/{path}?{rest}"))


def _no_url(text: str, is_ali_cdn: bool | None) -> PushUrl:
    output = Output("", "", is_ali_cdn, has_userinfo=False, problem=_problem(text, text, text))
    return PushUrl(output, NO_TIME, _digest(text))


def _family(scheme: str) -> str:
    return "rtmp" if scheme == "rtmps" else scheme


@lru_cache(maxsize=REMEMBERED_SERVERS)
def _plain_server(scheme: str, authority: str) -> _Server:
    """Return the parts of a server that is only a known scheme, a host and a default port: others are not remembered.

    Raises:
        ValueError: It is not plain; a cache keeps no errors.
    """
    match = _PLAIN_AUTHORITY.fullmatch(authority)
    scheme = scheme.lower()
    if not match or scheme not in _KNOWN_SCHEMES:
        raise ValueError
    return _server(scheme.removesuffix(":"), match[1].lower())


def _any_server(scheme: str, authority: str) -> _Server | None:
    """Return the parts of any server; None if the scheme cannot be one."""
    if not _SCHEME.fullmatch(scheme):
        return None
    authority = authority.partition("#")[0].partition("\\")[0]
    _, at, authority = authority.rpartition("@")
    host = _HOST.match(authority[:LONGEST_HOST])
    port = _PORT.search(authority)
    return _server(
        scheme.lower().removesuffix(":"),
        host[0].lower() if host and host[0].isprintable() else "",
        port[1] if port else None,
        has_userinfo=bool(at),
    )


def _server(scheme: str, host: str, port: str | None = None, *, has_userinfo: bool = False) -> _Server:
    named = host if port is None or port in DEFAULT_PORTS else f"{host}:{port}"
    return _Server(scheme, host, has_userinfo, f"{_family(scheme)}://{named}")


def _parameters(scheme: str, query: str) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Return the parts of a query with their names, and the parameters that are read; of equal names the first counts.

    SRT has a stream id in the query's place.
    """
    if "&" not in query and "%" not in query and scheme != "srt":
        name, _, value = query.partition("=")
        return [(name, query)], {name: value}
    parts = query.split("&", MOST_PARAMETERS)
    is_escaped = "%" in query and query.isascii() and query.count("%") <= MOST_ESCAPES
    if scheme == "srt":
        stream_id = next((part for part in parts if part.startswith("streamid=")), None)
        if stream_id is not None:
            stream_id = stream_id.removeprefix("streamid=")
            stream_id = (_unquoted(stream_id) if is_escaped else stream_id).removeprefix("#!::")
            parts = stream_id.replace("?", ",").replace("&", ",").split(",", MOST_PARAMETERS)
    names: list[tuple[str, str]] = []
    parameters: dict[str, str] = {}
    for part in parts:
        name, _, value = part.partition("=")
        names.append((name, part))
        if (name in _KEYS or name.endswith(WOWZA_ENDINGS)) and name not in parameters and len(parameters) < MOST_READ:
            parameters[name] = _unquoted(value) if is_escaped and "%" in value else value
    return names, parameters


def _unquoted(text: str) -> str:
    return unquote_to_bytes(text).decode(errors="replace")


def _problem(url: str, path: str, rest: str = "") -> str | None:
    """Return what makes the URL incomplete.

    Args:
        url: The URL.
        path: Its path.
        rest: Its query less the signature, which may name the stream, too.
    """
    if len(url) > LONGEST_URL:
        return "too_long"
    if url.encode().translate(None, _PRINTED) if url.isascii() else " " in url or not url.isprintable():
        return "white_space"
    if ("*" in url and "****" in url) or ("<" in url and ">" in url) or ("{" in url and "}" in url):
        return "placeholder"
    if rest or "/" in (path := path.strip("/")):
        return None
    return "no_stream" if path else "no_app"


def _digest(text: str) -> bytes:
    return xxhash.xxh3_64_digest(text.encode(errors="surrogatepass"))


class Pushes(Struct, frozen=True, gc=False):
    """What of a task's URLs belongs to its configuration: equal for tasks that push alike, whatever their keys."""

    outputs: tuple[Output, ...]
    has_stream_url: bool
    has_multi_stream_url: bool


class OwnPushes(Struct, frozen=True, gc=False):
    """What of a task's URLs is its own."""

    digests: bytes
    """The digest `push_keys`, and of each output the digest of its stream, in the order of `Pushes.outputs`."""
    times: bytes  # the time in each output's signature


def take_pushes(reader: FieldReader, row: Row) -> tuple[Pushes, OwnPushes]:
    """Take both URL fields out of a row.

    Outputs are sorted by what is kept of them, so that neither the list's order nor the keys make a difference.
    """
    seen: dict[str, PushUrl] = {}
    for stream in row.multi_stream_url or ():
        url = reader.text(stream.url, "MultiStreamURL.URL")
        is_ali_cdn = reader.truth(stream.is_ali_cdn, "MultiStreamURL.IsAliCdn")
        if url:
            if url in seen and seen[url].output.is_ali_cdn is not None:
                is_ali_cdn = seen[url].output.is_ali_cdn
            seen[url] = _parsed(reader, url, "MultiStreamURL.URL", is_ali_cdn)
    has_multi_stream_url = bool(seen)
    stream_url = reader.text(row.stream_url, "StreamURL")
    if stream_url:
        seen.setdefault(stream_url, _parsed(reader, stream_url, "StreamURL"))
    row.multi_stream_url = row.stream_url = None
    found = list(seen.values())
    if len(found) == 1:
        (url,) = seen
        push = found[0]
        own = OwnPushes(_digest(url) + push.stream, push.time.to_bytes(TIME_BYTES, "big"))
        return Pushes((push.output,), bool(stream_url), has_multi_stream_url), own
    found.sort(key=lambda push: (*map(str, astuple(push.output)), push.stream, push.time))
    pushes = Pushes(tuple([push.output for push in found]), bool(stream_url), has_multi_stream_url)
    keys = _digest("\n".join(sorted(seen))) if seen else NOTHING
    digests = b"".join([keys, *[push.stream for push in found]])
    return pushes, OwnPushes(digests, b"".join([push.time.to_bytes(TIME_BYTES, "big") for push in found]))


def _parsed(reader: FieldReader, url: str, field: str, is_ali_cdn: bool | None = None) -> PushUrl:
    """Take a URL apart, and count one whose scheme is none that push URLs are known to have."""
    parsed = parse_push_url(url, is_ali_cdn=is_ali_cdn)
    if parsed.output.scheme not in PUSH_SCHEMES:
        reader.unknown.append(field)
    return parsed
