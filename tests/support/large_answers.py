"""Small compressed answers that are large, or much work, once they are decompressed."""

import gzip
from collections.abc import Callable, Mapping
from functools import cache

ROWS = 100


def _page(*rows: bytes) -> bytes:
    """Return a page."""
    return b'{"RequestId":"r","MPUTasks":[' + b",".join(rows) + b"]}"


def _rows(members: bytes) -> Callable[[], bytes]:
    """Return what makes a page full of rows with the same members."""
    return lambda: _page(*(b'{"TaskId":"t%d",%b}' % (number, members) for number in range(ROWS)))


def _many(count: int, element: bytes) -> bytes:
    """Return numbered elements."""
    return b",".join(element % number for number in range(count))


MAKERS: Mapping[str, Callable[[], bytes]] = {
    "tiny-rows": lambda: _page(*(b'{"TaskId":"%d"}' % number for number in range(20_000))),
    "empty-rows": lambda: _page(*[b"{}"] * 10_000_000),
    "empty-rows-within-the-body": lambda: _page(*[b"{}"] * 1_300_000),
    "nameless-rows": lambda: _page(*[b"{}"] * ROWS),
    "escapes": _rows(b'"ChannelId":"' + b"\\n" * 19_000 + b'"'),
    "half-characters": _rows(b'"ChannelId":"' + b"\\ud800" * 6_000 + b'"'),
    "one-half-character": _rows(b'"ChannelId":"' + b"\\\\" * 19_000 + b'\\ud800"'),
    "wide-objects": _rows(_many(640, b'"key%d":{"a":[{}]}')),
    "wider-objects": _rows(b'"key":1,' * 4_000 + b'"key":2'),
    "wide-outside": lambda: b'{"RequestId":"r",' + b'"key":1,' * 400_000 + b'"MPUTasks":[]}',
    "urls": _rows(b'"MultiStreamURL":[' + _many(100, b'{"URL":"rtmp://h%d.example.com/x"}') + b"]"),
    "too-many-urls": _rows(b'"MultiStreamURL":[' + _many(640, b'{"URL":"rtmp://h%d.example.com/x"}') + b"]"),
    "panes": _rows(b'"TranscodeParams":{"Layout":{"UserPanes":[' + _many(100, b'{"X":"0.%d","Y":"x"}') + b"]}}"),
    "users": _rows(b'"TranscodeParams":{"UserInfos":[' + _many(640, b'{"UserId":"user%d"}') + b"]}"),
    "odd-users": _rows(b'"Odd":1,"TranscodeParams":{"UserInfos":[' + _many(300, b'{"UserId":[%d]}') + b"]}"),
    "deep": lambda: _page(b"[" * 1_000_000),
    "long-row": lambda: _page(b'{"TaskId":"' + b"x" * 3_000_000 + b'"}'),
    "spaces": lambda: b" " * 80_000_000,
    "message": lambda: b'{"RequestId":"r","Code":"Throttled","Message":"' + b"m" * 80_000_000 + b'"}',
}


@cache
def compressed_body(name: str) -> bytes:
    """Return one as gzip, of less than 200 kB."""
    return gzip.compress(MAKERS[name](), 9)
