"""Where a task pushes to: what may be shown of its URLs, and the digest of each whole one."""

from typing import NamedTuple

import xxhash

from exporter.aliyun.documented import Row
from exporter.aliyun.fields import FieldReader
from exporter.aliyun.interning import Interner
from exporter.aliyun.push_url import PushUrl, parse_push_url
from exporter.task import Output


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
