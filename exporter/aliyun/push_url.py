"""What is kept of a push URL: scheme, host, signer and expiry, and a digest of the stream it names.

A URL is hostile text and holds keys: nothing here raises, remembers it or shows more of it.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

import xxhash
from msgspec import Struct
from msgspec.structs import astuple

from exporter.aliyun.field_reader import NOTHING, FieldReader
from exporter.aliyun.push_signature import (
    SIGNATURE_KEYS,
    SRT_MODE_KEY,
    WOWZA_ENDINGS,
    read_signature,
    signer_within,
    unquoted,
)
from exporter.aliyun.row_schema import Row
from exporter.core.push_auth import NO_SIGNER, NO_TIME, TIME_BYTES
from exporter.core.task import PUSH_SCHEMES, Output

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}:|")
_HOST_AND_PORT: Final = re.compile(
    r"(\[[0-9A-Fa-f:.%]{1,64}+\]|[^\x00-\x20\x7f:\[\]]{0,253}+)(?::(?:([0-9]{1,5})|.*+))?", re.DOTALL
)
_VHOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}+")
LONGEST_HOST: Final = 253
LONGEST_URL: Final = 2048  # characters of a StreamURL, documented
LONGEST_NOT_ASCII: Final = 1024  # characters of a URL in which some are not ASCII; of a longer one both ends are read
MOST_PARAMETERS: Final = 12  # that are read; a signature behind them is `unreadable` and part of the identity
LONGEST_STREAM_ID: Final = 512  # bytes of SRT's; escaped three times as many characters; a longer one is not read
REMEMBERED_SERVERS: Final = 1024
LONGEST_REMEMBERED: Final = 100  # characters of a host with its port, and of a host that is not ASCII
DEFAULT_PORTS: Final = ("1935", "443", "10080")  # of RTMP, RTMPS and SRT
_PLAIN_AUTHORITY: Final = re.compile(rf"([A-Za-z0-9.-]++)(?::(?:{'|'.join(DEFAULT_PORTS)}))?")
_KNOWN_SCHEMES: Final = frozenset(f"{scheme}:" for scheme in PUSH_SCHEMES)
_OF_PLACEHOLDERS: Final = b"*<>{}"
_USUAL: Final = bytes(set(range(ord("!"), ord("~") + 1)) - set(_OF_PLACEHOLDERS))
_KEYS: Final = SIGNATURE_KEYS | {"vhost", "bandwidthtest", SRT_MODE_KEY}


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
    """Take a URL apart; what is no URL has neither scheme nor host. One that is too long is named by its ends."""
    longest = LONGEST_URL if url.isascii() else LONGEST_NOT_ASCII
    is_too_long = len(url) > longest
    read = f"{url[: longest // 2]}&{len(url)}&{url[-longest // 2 :]}" if is_too_long else url
    base, _, query = read.partition("?")
    before, slashes, after = base.partition("//")
    authority, _, path = after.partition("/")
    server = _server_of(before, authority) if slashes else None
    if server is None:
        output = Output("", "", is_ali_cdn, has_userinfo=False, problem=_problem(url, url, url))
        return PushUrl(output, NO_TIME, _digest(read))
    scheme, host, has_userinfo, identity = server
    signer, time, is_test = NO_SIGNER, NO_TIME, False
    if query and scheme == "srt":
        query = _stream_id(query)
    if query and is_too_long:
        signer = signer_within(query)
    elif query:
        parts, parameters = _parameters(query)
        signer, time, not_named = read_signature(parameters)
        if len(parts) > MOST_PARAMETERS and signer == NO_SIGNER:
            signer = signer_within(query)
        host_key = None
        if "vhost" in parameters and (match := _VHOST.fullmatch(unquoted(parameters["vhost"]))):
            host_key = "vhost"
            host = match[0].lower()
            identity = f"{_family(scheme)}://{host}"
        is_test = parameters.get("bandwidthtest") == "true"
        if not_named or host_key:
            query = "&".join([part for name, part in parts if name != host_key and name not in not_named])
    problem = _problem(url, path, query)
    output = Output(scheme, host, is_ali_cdn, has_userinfo, signer, problem, is_test)
    return PushUrl(output, time, _digest(f"{identity}/{path}?{query}"))


def _family(scheme: str) -> str:
    return "rtmp" if scheme == "rtmps" else scheme


def _server_of(scheme: str, authority: str) -> _Server | None:
    if len(authority) <= LONGEST_REMEMBERED:
        try:
            return _plain_server(scheme, authority)
        except ValueError:
            pass
    if scheme not in _KNOWN_SCHEMES and not _SCHEME.fullmatch(scheme):
        return None
    authority = authority.partition("#")[0].partition("\\")[0]
    _, at, authority = authority.rpartition("@")
    match = _HOST_AND_PORT.fullmatch(authority)
    host, port = match.groups() if match else ("", None)
    host = host.lower() if host.isascii() or (len(host) <= LONGEST_REMEMBERED and host.isprintable()) else ""
    return _server(scheme.lower().removesuffix(":"), host, port, has_userinfo=bool(at))


@lru_cache(maxsize=REMEMBERED_SERVERS)
def _plain_server(scheme: str, authority: str) -> _Server:
    """Return the parts of a server that is only a known scheme, a host and a default port: others are not remembered.

    Another raises ValueError, since a cache keeps no errors.
    """
    if scheme not in _KNOWN_SCHEMES or not (match := _PLAIN_AUTHORITY.fullmatch(authority)):
        raise ValueError
    return _server(scheme.removesuffix(":"), match[1].lower())


def _server(scheme: str, host: str, port: str | None = None, *, has_userinfo: bool = False) -> _Server:
    named = host if port is None or port in DEFAULT_PORTS else f"{host}:{port}"
    return _Server(scheme, host, has_userinfo, f"{_family(scheme)}://{named}")


def _stream_id(query: str) -> str:
    """Return what is in the query's place in a URL of SRT, in the form of a query."""
    for part in query.split("&", MOST_PARAMETERS):
        if part.startswith("streamid="):
            stream_id = part.removeprefix("streamid=")
            longest = LONGEST_STREAM_ID * (3 if stream_id.isascii() else 1)
            if len(stream_id) > longest:
                break
            return unquoted(stream_id, at_most=longest).removeprefix("#!::").replace(",", "&").replace("?", "&")
    return query


def _parameters(query: str) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Return the parts of a query with their names, and the parameters that are read: of equal names the first."""
    if "&" not in query:
        name, _, value = query.partition("=")
        return [(name, query)], {name: value} if value and value.isascii() else {}
    parts = query.split("&", MOST_PARAMETERS)
    if len(parts) > MOST_PARAMETERS:
        parts[-1] = f"&{parts[-1]}"  # what is not taken apart has no name
    named: list[tuple[str, str]] = []
    parameters: dict[str, str] = {}
    for part in parts:
        # A part that is not ASCII is in no signature.
        name, _, value = part.partition("=") if part.isascii() else ("", "", "")
        named.append((name, part))
        if value and (name in _KEYS or name.endswith(WOWZA_ENDINGS)):
            parameters.setdefault(name, value)
    return named, parameters


def _problem(url: str, path: str, rest: str) -> str | None:
    """Return what makes a URL incomplete; `rest` of its query may name the stream, too."""
    if len(url) > LONGEST_URL:
        return "too_long"
    if url.isascii():
        unusual = url.encode().translate(None, _USUAL)  # five times faster than `isprintable`
        is_clean = not unusual.translate(None, _OF_PLACEHOLDERS)
    else:
        unusual = _OF_PLACEHOLDERS
        is_clean = url[:LONGEST_NOT_ASCII].isprintable() and " " not in url
    if not is_clean:
        return "white_space"
    if unusual and ("****" in url or ("<" in url and ">" in url) or ("{" in url and "}" in url)):
        return "placeholder"
    if rest or "/" in (path := path.strip("/")):
        return None
    return "no_stream" if path else "no_app"


def _digest(text: str) -> bytes:
    return xxhash.xxh3_64_digest(text.encode() if text.isascii() else text.encode(errors="surrogatepass"))


class Pushes(Struct, frozen=True, gc=False):
    """What of a task's URLs belongs to its configuration: equal for tasks that push alike, whatever their keys."""

    outputs: tuple[Output, ...]
    has_stream_url: bool
    has_multi_stream_url: bool


def take_pushes(reader: FieldReader, row: Row) -> tuple[Pushes, bytes, bytes]:
    """Take both URL fields out of a row.

    Return what is configured; the digest `push_keys` and that of each output's stream; and the time in each output's
    signature. Outputs are sorted by what is kept of them, so that neither the list's order nor the keys make a
    difference.
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
    if len(seen) == 1:
        ((url, push),) = seen.items()
        pushes = Pushes((push.output,), bool(stream_url), has_multi_stream_url)
        return pushes, _digest(url) + push.stream, push.time.to_bytes(TIME_BYTES, "big")
    found = sorted(seen.values(), key=lambda push: (*map(str, astuple(push.output)), push.stream, push.time))
    pushes = Pushes(tuple([push.output for push in found]), bool(stream_url), has_multi_stream_url)
    keys = _digest("\n".join(sorted(seen))) if seen else NOTHING
    digests = b"".join([keys, *[push.stream for push in found]])
    return pushes, digests, b"".join([push.time.to_bytes(TIME_BYTES, "big") for push in found])


def _parsed(reader: FieldReader, url: str, field: str, is_ali_cdn: bool | None = None) -> PushUrl:
    """Take a URL apart, and count one whose scheme is none that push URLs are known to have."""
    parsed = parse_push_url(url, is_ali_cdn=is_ali_cdn)
    if parsed.output.scheme not in PUSH_SCHEMES:
        reader.unknown.append(field)
    return parsed
