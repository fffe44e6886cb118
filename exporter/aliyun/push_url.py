"""What is kept of a push URL, a hostile text with keys: scheme, host, signer, expiry, and a digest of its stream."""

import re
from string import ascii_letters, digits
from typing import Final

import xxhash
from msgspec import Struct
from msgspec.structs import astuple

from exporter.aliyun.field_reader import NOTHING, FieldReader
from exporter.aliyun.push_signature import FIRST_KEYS, read_signature, signer_within, unquoted
from exporter.aliyun.row_schema import Row
from exporter.core.push_auth import NO_SIGNER, NO_TIME, TIME_BYTES
from exporter.core.task import PUSH_SCHEMES, Output

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}:|")
_IP_ADDRESS: Final = re.compile(r"\[[0-9A-Fa-f:.%]{1,64}+\]")
_NOT_OF_HOSTS: Final = re.compile(r"[ \[\]]")
LONGEST_HOST: Final = 253
LONGEST_URL: Final = 2048  # characters of a StreamURL, documented
LONGEST_NOT_ASCII: Final = 512  # characters of a URL in which some are not ASCII; of a longer one both ends are read
MOST_PARAMETERS: Final = 10  # that are read; a signature behind them is `unreadable` and part of the identity
LONGEST_STARS: Final = 64  # characters from the first star on, among which `****` is looked for
LONGEST_STREAM_ID: Final = 320  # bytes of SRT's, escaped or not; a longer one is not read
REMEMBERED_SERVERS: Final = 1024
LONGEST_REMEMBERED: Final = 100  # characters of a host with its port, and of a host that is not ASCII
DEFAULT_PORTS: Final = ("1935", "443", "10080")  # of RTMP, RTMPS and SRT
_PLAIN_AUTHORITY: Final = re.compile(rf"([A-Za-z0-9.-]++)(?::(?:{'|'.join(DEFAULT_PORTS)}))?")
_KNOWN_SCHEMES: Final = frozenset(f"{scheme}:" for scheme in PUSH_SCHEMES)
_PRINTABLE: Final = bytes(range(ord("!"), ord("~") + 1))
_OF_HOSTS: Final = _PRINTABLE.translate(None, b":[]")
_OF_VHOSTS: Final = f"{ascii_letters}{digits}.-".encode()


class PushUrl(Struct, frozen=True, gc=False):
    """What is kept of a push URL."""

    output: Output  # what may be shown
    time: int  # the time in the signature, or one of the codes of `core.push_auth`
    stream: bytes  # digest of the stream's identity: scheme family, host, path, and the query less the signature


_Server = tuple[str, str, bool, str]
"""Scheme, host, whether a user is before it, and host with a port that is not a default one."""

_servers: Final[dict[tuple[str, str], _Server]] = {}  # what was read, by scheme and authority


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
    scheme, host, has_userinfo, server_name = server
    signer, time, is_test = NO_SIGNER, NO_TIME, False
    if query and scheme == "srt":
        query = _stream_id(query)
        is_too_long = is_too_long or len(query) > LONGEST_STREAM_ID
    if is_too_long:
        signer = signer_within(query)
    elif query:
        parts, parameters = _parameters(query)
        signer, time, not_named = read_signature(parameters)
        if len(parts) > MOST_PARAMETERS and signer == NO_SIGNER and FIRST_KEYS.isdisjoint(parameters):
            signer = signer_within(query)
        is_test = parameters.get("bandwidthtest") == "true"
        vhost, host_key = parameters.get("vhost"), None
        if vhost and len(vhost) <= LONGEST_HOST and _consists_of(_OF_VHOSTS, vhost):
            host_key = "vhost"
            host = server_name = vhost.lower()
        if not_named or host_key:
            query = "&".join([part for name, part in parts if name not in not_named and name != host_key])
    problem = _problem(url, path, query)
    output = Output(scheme, host, is_ali_cdn, has_userinfo, signer, problem, is_test)
    family = "rtmp" if scheme == "rtmps" else scheme
    return PushUrl(output, time, _digest(f"{family}://{server_name}/{path}?{query}"))


def _server_of(scheme: str, authority: str) -> _Server | None:
    """Return the server, remembered if it is only a host and a default port: others may hold keys."""
    server = _servers.get((scheme, authority))
    if server is None:
        server = _read_server(scheme, authority)
        is_short = len(authority) <= LONGEST_REMEMBERED
        if server and server[1] == server[3] and is_short and _PLAIN_AUTHORITY.fullmatch(authority):
            if len(_servers) >= REMEMBERED_SERVERS:
                _servers.clear()
            _servers[scheme, authority] = server
    return server


def _read_server(scheme: str, authority: str) -> _Server | None:
    if scheme not in _KNOWN_SCHEMES and not _SCHEME.fullmatch(scheme):
        return None
    authority = authority.partition("#")[0].partition("\\")[0]
    _, at, authority = authority.rpartition("@")
    host, end, port = authority.partition("]" if authority.startswith("[") else ":")
    if end == "]":
        host, port = f"{host}]", port.removeprefix(":")
    if host.isascii():
        is_name = len(host) <= LONGEST_HOST and _consists_of(_OF_HOSTS, host)
        is_host = is_name or bool(_IP_ADDRESS.fullmatch(host))
    else:
        is_host = len(host) <= LONGEST_REMEMBERED and host.isprintable() and not _NOT_OF_HOSTS.search(host)
    host = host.lower() if is_host else ""
    is_other = port not in DEFAULT_PORTS and len(port) <= 5 and port.isascii() and port.isdecimal()
    return scheme[:-1].lower(), host, bool(at), f"{host}:{port}" if is_other else host


def _stream_id(query: str) -> str:
    """Return what is in the query's place in a URL of SRT, in the form of a query."""
    _, is_found, after = f"&{query}".rpartition("&streamid=")
    stream_id = after.partition("&")[0]
    if not is_found or len(stream_id) * (1 if stream_id.isascii() else 3) > LONGEST_STREAM_ID:
        return query
    stream_id = unquoted(stream_id, at_most=LONGEST_STREAM_ID)
    return stream_id.removeprefix("#!::").replace(",", "&").replace("?", "&")


def _parameters(query: str) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Return the parts of a query with their names, and the values by name: of equal names the first that has one."""
    if "&" not in query:
        name, _, value = query.partition("=")
        return [(name, query)], {name: value} if value and value.isascii() else {}
    parts = query.split("&", MOST_PARAMETERS)
    if len(parts) > MOST_PARAMETERS:
        parts[-1] = f"&{parts[-1]}"  # what is not taken apart has no name
    named: list[tuple[str, str]] = []
    parameters: dict[str, str] = {}
    is_ascii = query.isascii()
    for part in parts:
        # A part that is not ASCII is in no signature.
        name, _, value = part.partition("=") if is_ascii or part.isascii() else ("", "", "")
        named.append((name, part))
        if value and name not in parameters:
            parameters[name] = value
    return named, parameters


def _problem(url: str, path: str, rest: str) -> str | None:
    """Return what makes a URL incomplete; `rest` of its query may name the stream, too."""
    if len(url) > LONGEST_URL:
        return "too_long"
    if url.isascii():
        is_clean = _consists_of(_PRINTABLE, url)
    else:
        is_clean = url[:LONGEST_NOT_ASCII].isprintable() and " " not in url
    if not is_clean:
        return "white_space"
    if ("*" in url and _has_stars(url)) or ("<" in url and ">" in url) or ("{" in url and "}" in url):
        return "placeholder"
    if rest or "/" in (path := path.strip("/")):
        return None
    return "no_stream" if path else "no_app"


def _has_stars(url: str) -> bool:
    first = url.index("*")
    return url.rfind("****", first, first + LONGEST_STARS) >= 0  # from the right: half of what `in` takes


def _consists_of(allowed: bytes, text: str) -> bool:
    """Whether a text has only these characters: a fifth of what `isprintable` or a pattern takes."""
    return text.isascii() and not text.encode().translate(None, allowed)


def _digest(text: str) -> bytes:
    return xxhash.xxh3_64_digest(text.encode() if text.isascii() else text.encode(errors="surrogatepass"))


class Pushes(Struct, frozen=True, gc=False):
    """What of a task's URLs belongs to its configuration: equal for tasks that push alike, whatever their keys."""

    outputs: tuple[Output, ...]
    has_stream_url: bool
    has_multi_stream_url: bool


def take_pushes(reader: FieldReader, row: Row) -> tuple[Pushes, bytes, bytes]:
    """Take both URL fields out of a row: what is configured, digests of keys and streams, times of signatures."""
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
