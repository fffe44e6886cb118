"""What may be shown of a push URL: scheme and host. It is hostile text until it is read: nothing here raises."""

import re
from functools import lru_cache
from typing import Final, NamedTuple

import xxhash

from exporter.aliyun.field_reader import FieldReader
from exporter.aliyun.interner import Interner
from exporter.aliyun.row_schema import Row
from exporter.core.task import PUSH_SCHEMES, Output

_URL: Final = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]{0,31}):)?//([^/?#\\]*)")
_HOST: Final = re.compile(r"\[[0-9A-Fa-f:.%]{1,64}\]|[^:\[\]]{0,253}")
_LONGER_THAN_A_HOST: Final = 256
REMEMBERED_HOSTS: Final = 1024


class PushUrl(NamedTuple):
    """The parts of a push URL that are kept."""

    scheme: str
    """Lower case; empty where there is none."""
    host: str
    """Lower case, without port and user; empty where there is none."""
    has_userinfo: bool

    @property
    def has_known_scheme(self) -> bool:
        """Whether the scheme is one that push URLs are known to have."""
        return self.scheme in PUSH_SCHEMES


def parse_push_url(url: str) -> PushUrl:
    """Take a URL apart; what is no URL has empty parts."""
    match = _URL.match(url)
    if match is None:
        return PushUrl("", "", has_userinfo=False)
    scheme, authority = match.groups()
    _, at, host = authority.rpartition("@")
    return _shown(scheme or "", host[:_LONGER_THAN_A_HOST], bool(at))


# Many URLs push to few hosts. Nobody's password gets here.
@lru_cache(maxsize=REMEMBERED_HOSTS)
def _shown(scheme: str, host: str, has_userinfo: bool) -> PushUrl:
    """Return the parts as they are shown."""
    match = _HOST.match(host)
    shown = match[0].lower() if match and match[0].isprintable() else ""
    return PushUrl(scheme.lower(), shown, has_userinfo)


class Pushes(NamedTuple):
    """What of a task's URLs belongs to its configuration: equal for tasks that push alike, whatever their keys."""

    outputs: tuple[Output, ...]
    has_stream_url: bool
    has_multi_stream_url: bool


def take_pushes(reader: FieldReader, row: Row, share: Interner) -> tuple[Pushes, bytes]:
    """Take both URL fields out of a row.

    Returns:
        What may be shown, sorted, so that the list's order makes no difference; and eight bytes for each output.
    """
    seen: dict[str, tuple[PushUrl, bool | None]] = {}
    for stream in row.multi_stream_url or ():
        url = reader.text(stream.url, "MultiStreamURL.URL")
        is_ali_cdn = reader.truth(stream.is_ali_cdn, "MultiStreamURL.IsAliCdn")
        if url:
            parsed = _parsed(reader, url, "MultiStreamURL.URL")
            known = seen.get(url, (parsed, None))[1]
            seen[url] = parsed, is_ali_cdn if known is None else known
    has_multi_stream_url = bool(seen)
    stream_url = reader.text(row.stream_url, "StreamURL")
    if stream_url:
        seen.setdefault(stream_url, (_parsed(reader, stream_url, "StreamURL"), None))
    row.multi_stream_url = row.stream_url = None
    found = sorted((_output(url, *kept, share) for url, kept in seen.items()), key=_order)
    outputs = share(tuple(output for output, _ in found))
    return Pushes(outputs, bool(stream_url), has_multi_stream_url), b"".join(digest for _, digest in found)


def _parsed(reader: FieldReader, url: str, field: str) -> PushUrl:
    """Take a URL apart, and count one whose scheme is none that push URLs are known to have."""
    parsed = parse_push_url(url)
    if not parsed.has_known_scheme:
        reader.unknown.append(field)
    return parsed


def _output(url: str, parsed: PushUrl, is_ali_cdn: bool | None, share: Interner) -> tuple[Output, bytes]:
    """Return what is kept of a URL."""
    output = share(Output(parsed.scheme, parsed.host, is_ali_cdn, parsed.has_userinfo))
    return output, xxhash.xxh3_64_digest(url.encode())


def _order(found: tuple[Output, bytes]) -> tuple[str, str, bool, str, bytes]:
    """Sort outputs by what is kept of them first, so that tasks with different keys have equal configurations."""
    output, digest = found
    return output.scheme, output.host, output.has_userinfo, str(output.is_ali_cdn), digest
