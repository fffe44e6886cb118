"""Texts that try to be more than text, rows of the list that are full of them, and what must not come of them."""

import base64
import gzip
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from html.parser import HTMLParser
from typing import Any

from tests.support.rows import changed, example_row, leaf_paths

MARK = "hostile"
PRODUCT = str(7919 * 7907)  # what is where a template was evaluated
LONGEST_TASK_ID = 200
HOSTILE = {
    "line ends": f"{MARK}\r\nrtcmpu_up 1\nts=2026-01-01T00:00:00Z level=error msg=forged",
    "terminal": f"{MARK}\x1b]0;owned\x07\x1b[31mred\x9b2J\x7f",
    "markup": f"{MARK}</script><script>alert(1337)</script><img src=x onerror=alert(1337)>",
    "attribute": f'{MARK}" onmouseover="alert(1337)" x=\'',
    "template": f"{MARK}{{{{7919*7907}}}} ${{HOME}} %s {{0}} [red]x[/red]",
    "half a character": f"{MARK}\ud83d and \udc00",
    "NUL": f"{MARK}\x00end",
    "direction": f"{MARK}\u202egnp.exe\u2066\u200f",
    "quotes": f'{MARK}"}} 1\n\\"\\',
    "end of XML": f"{MARK}]]><!-- --> &amp; &#x1b;\ufffe",
    "script link": f"javascript:alert(1337)//{MARK}",
    "formula": f"=cmd|'/c calc'!A1 {MARK}",
    "long": MARK + "x" * 4096,
}

_SIGNED = "rtmp://h.example.com/live/s?"
_STREAM_ID = "srt://h.example.com?streamid="
_DEAR_SERVER = "rtmp://" + "a" * 240 + ":9"
_DEAR_TOKEN = "eyJh." + base64.b64encode(b'{"a":' + b"[" * 762).decode() + "."
_ALL_FORMS = (
    "aendtime=%41&ahash=1&expire=%41&e=%41&OSSAccessKeyId=1&Signature=1&Expires=%41&bandwidthtest=1&m=1&vhost=%41"
    + "a" * 90
)
_REPEATED = "eyJh." + base64.b64encode(b'{"exp":1,' + b'"exp":1,' * 70 + b'"a":1}').decode().rstrip("=") + ".:"
_MINUS = (
    "eyJh." + base64.urlsafe_b64encode(b'{"a":{},"exp":1.2345678,"' + b"\xfb\xef\xbe" * 180 + b'":1}').decode() + ".:"
)
HOSTILE_URLS = [
    _SIGNED + "&" * 2048,
    _SIGNED + "aendtime=1&" * 180,
    _SIGNED + "&".join(f"{letter}endtime=1800000000&{letter}hash=1" for letter in "abcdefghijklmnop"),
    _SIGNED + "auth_key=" + "1-" * 900,
    _SIGNED + "hdnts=" + "exp=1" * 400,
    _SIGNED + "token=eyJ." + "A" * 2000 + ".x",
    _SIGNED + "jwt=eyJ." + base64.b64encode(b"[" * 1400).decode() + ".x",
    _SIGNED + "jwt=eyJ." + base64.b64encode(b'{"exp":' + b"1" * 700).decode() + ".x",
    _SIGNED + "a=%41" * 400,
    _SIGNED + "&".join(f"a{place}=%41" for place in range(16)),
    _SIGNED + "<" * 2048,
    _SIGNED + "auth_key=" + "1" * 2048,
    "rtmp://" + "\xe9" * 2000 + "/live/s",
    "rtmp://" + "a" * 300 + "/live/s?vhost=" + "%41" * 16 + "&hdnts=" + "~exp=" * 150 + "&hwSecret=1&hwTime=1" * 20,
    "rtmp://" + "@" * 2000 + "/live/s",
    _STREAM_ID + "%2c" * 16 + "," * 1900,
    _STREAM_ID + "%C3%A9" * 8 + "\xe9," * 900,
    _STREAM_ID + "&" + "&".join(f"a{place}=%41" for place in range(16)),
    _DEAR_SERVER + "/l/s?aendtime=1&Expires=1&vhost=a.b&jwt=" + _DEAR_TOKEN + "&" + "=&" * 200,
    _DEAR_SERVER + "/l/s?aendtime=1&vhost=" + "a" * 253 + "&hdnea=" + "%41" * 16 + "a" * 400 + "&" + "****a" * 150,
    "srt://"
    + "a" * 253
    + ":9?streamid="
    + "%2caendtime%3d1" * 5
    + "%2cvhost=a%2chdnts="
    + "a" * 300
    + "&"
    + "***a" * 250,
    "http://" + "\xc9" * 200 + ":9/l?aendtime=1&bendtime=1&vhost=a.b&e=1&hdnea=\u3042" + "~" * 200,
    "http://" + "a:" * 900 + "@h:9/l/s?" + "aendtime=1&" * 9,
    "\u0130" * 500 + "://h/l/s",
    _SIGNED + "\xe9" * 200_000,
    _SIGNED + "&".join(["直=直播"] * 400),
    _SIGNED + "&".join(["直" * 60] * 32) + "&auth_key=1",
    _SIGNED + "a&" * 20 + "e" * 1980,
    "rtmp://h.example.com/" + "😀" * 2020,
    "srt://h.example.com?streamid=" + "%e9,直=" * 300,
    "srt://h.example.com?streamid=%2C" + "x=直\ud800\ud800," * 330,
    _SIGNED + "jwt=" + _DEAR_TOKEN + "&" + "直&" * 350,
    _SIGNED + "&".join(f"{place}=" + "😀" * 115 for place in range(16)),
    _STREAM_ID + "%E7%9B%B4%2C" * 120,
    _STREAM_ID + "😀=" * 250 + "%2C",
    _DEAR_SERVER + "/l/s?aendtime=1&Expires=1&vhost=a.b&jwt=" + _DEAR_TOKEN + "&" + "***&" * 100,
    _DEAR_SERVER + "/l/s?aendtime=1&Expires=1&vhost=a.b&jwt=" + _DEAR_TOKEN + "&" + "*<&" * 130,
    _SIGNED + "jwt=eyJh." + base64.b64encode(b"{" + b'"exp":1e300,' * 47 + b'"a":1}').decode().rstrip("=") + ".x",
    "http" + _DEAR_SERVER[4:] + "/l/s?" + _ALL_FORMS + "&token=" + _REPEATED + "&" + "***a" * 160,
    "Xtmp://h:9/l/s?" + _ALL_FORMS + "&token=" + _REPEATED + "&" + "***a***<" * 110,
    _DEAR_SERVER + "/l/s?" + _ALL_FORMS + "&a=" + "%3" * 400 + "&" + "***a" * 120,
    "srt" + _DEAR_SERVER[4:] + "/l/s?" + _ALL_FORMS + "&token=eyJh.eyJleHAiOjF9.:&" + "***a" * 120,
    "srt" + _DEAR_SERVER[4:] + "?streamid=%2c" + _ALL_FORMS.replace("&", "%2c") + "%2ctoken=eyJh..x&" + "***a" * 350,
    _STREAM_ID + "%2c" + "直" * 400 + "&" + _ALL_FORMS,
    _SIGNED + _ALL_FORMS + "&token=" + "%" * 1400 + "&&" + "auth_key&" * 4,
    f"http{_DEAR_SERVER[4:]}/l/s?{_ALL_FORMS[:49]}&txSecret={'%41' * 170}&txTime={'%41' * 170}{'&***a' * 60}",
    _STREAM_ID + "%e9%2cexpire=1%2ctoken=eyJh..%2cvhost=%e9" + "%3" * 230,
    f"http://{'a' * 97}:9/l/s?aendtime=1&Expires=%41&bandwidthtest=1&m=1&vhost=%41{'a' * 90}&b=&c=&d=1&token={_MINUS}"
    "&" + "***<***a" * 99,
    f"srt://{'a' * 200}:9?streamid=%2ce=%41,expire=1,vhost={'a' * 68},token=eyJh.eyJleHAiOjEuNzk3NjkzMTM0ODYyfQ.:,m=1,a"
    + "a,=?" * 60
    + "&***a***<" * 150,
    f"Xtmp://{'a' * 97}:9/l/s?aendtime=1&Expires=%41&OSSAccessKeyId=1&=1&vhost=%41{'a' * 90}&b=%e9&endtime={'%30' * 20}"
    "&d=1&token=" + _MINUS + "&" + "a" * 400 + "=&h" + "***a" * 75 + "=1&Signature=1&" + "***<&" * 30 + "&***",
    _SIGNED + "直=&" * 60 + "jwt=eyJh.eyJleHAiOjF9.x&&token&e",
]
"""Push URLs that cost more to read than others of their length."""

_FORBIDDEN_ON_A_TERMINAL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def hostile_rows(app_id: str) -> list[dict[str, Any]]:
    """Return two rows for each text: one in which every text is it, and one that is sound but for its names."""
    return [row for text in HOSTILE.values() for row in (_full_of(text, app_id), _named(text, app_id))]


def page_of(rows: list[dict[str, Any]]) -> bytes:
    """Return an answer that lists rows."""
    return json.dumps({"RequestId": "r", "MPUTasks": rows}).encode()


def escape_codes(text: str) -> set[str]:
    """Return the characters in a text that a terminal would act upon, line ends and tabulators aside."""
    return set(_FORBIDDEN_ON_A_TERMINAL.findall(text))


class Elements(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def executable(self) -> Iterator[str]:
        """Yield what would run: scripts that are not the page's own, handlers, links to elsewhere or to code."""
        for tag, attributes in self.found:
            if tag == "script" and attributes.get("src") != "/static/pages.js":
                yield tag
            for name, value in attributes.items():
                is_link = name in {"href", "src", "action", "formaction", "data"}
                if name.startswith("on") or (is_link and not (value or "").startswith(("/", "#", "?"))):
                    yield f"{tag} {name}={value}"
            if tag in {"img", "iframe", "object", "embed", "base"}:
                yield tag


def _full_of(text: str, app_id: str) -> dict[str, Any]:
    """Return a row in which every leaf is a text; the TaskId is as much of it as a TaskId may be."""
    row = example_row()
    for path in leaf_paths(row):
        if not isinstance(_at(row, path), dict | list):
            row = changed(row, path, text)
    return {**row, "AppId": app_id, "TaskId": text[:LONGEST_TASK_ID]}


def _named(text: str, app_id: str) -> dict[str, Any]:
    """Return a sound row with a hostile name, channel and user."""
    row = changed(example_row(), "StreamURL", f"rtmp://{text}:{text}@push.example.com/{text}")
    return {**row, "AppId": app_id, "TaskId": f"2 {text}"[:LONGEST_TASK_ID], "ChannelId": text}


def _at(row: Any, path: str) -> Any:
    """Return what is at a path."""
    for step in path.split("."):
        row = row[int(step)] if step.isdigit() else row[step]
    return row


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
    "large-numbers": _rows(
        b'"TranscodeParams":{"Layout":{"UserPanes":['
        + b",".join([b'{"X":1e300,"Y":1e300,"Width":1e300,"Height":1e300}'] * 90)
        + b"]}}"
    ),
    "large-numbers-in-odd-rows": _rows(b'"Odd":[' + b",".join([b"1e300"] * 600) + b"]"),
    "large-numbers-in-text": _rows(
        b'"TranscodeParams":{"EncodeParams":{"EnhancedParam":"[' + b",".join([b"1e300"] * 600) + b']"}}'
    ),
    "deep": lambda: _page(b"[" * 1_000_000),
    "long-row": lambda: _page(b'{"TaskId":"' + b"x" * 3_000_000 + b'"}'),
    "spaces": lambda: b" " * 80_000_000,
    "message": lambda: b'{"RequestId":"r","Code":"Throttled","Message":"' + b"m" * 80_000_000 + b'"}',
}


@cache
def compressed_body(name: str) -> bytes:
    """Return one as gzip, of less than 200 kB."""
    return gzip.compress(MAKERS[name](), 9)
