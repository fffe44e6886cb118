"""The daemon against a service that answers in every odd way: the right picture, or the old one with a named state.

What a list or a lookup may answer as JSON is tested where it is read (`aliyun/test_response.py` and `test_failures.py`,
`collector/test_exactness.py`). Here are answers that HTTP and its decoding bring, one app each.
"""

import asyncio
import gzip
import json
import re
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from tests.processes.odd_service import JSON, Answer, Exchange, Odd, OddService, always, as_json, hangs, paged, raw
from tests.support.configurations import account, write_configuration
from tests.support.http import ask
from tests.support.processes import Programs, Running, eventually

pytestmark = pytest.mark.processes

REST = (
    "collection: {interval: 1s, sweep_interval: 2s, stale_after: 10m, request_timeout: 2s}\n"
    "policy: {default_rules: false}\n"
)
SETTLE_SECONDS = 300
ODD_SWEEPS = 2  # this many attempts to sweep, after an app became odd, must not turn what it shows
_SAMPLE = re.compile(r'^(rtcmpu_\w+)\{account="[^"]*",app_id="([^"]*)"(?:,([^}]*))?\} (\S+)$', re.MULTILINE)


@dataclass
class Seen:
    """What one scrape shows of an app."""

    state: str = ""
    up: bool = False
    tasks: float | None = None  # None: no series
    changes: dict[str, float] = field(default_factory=dict)
    sweeps: float = 0  # attempts so far

    def take(self, family: str, labels: str, value: float) -> None:
        if family == "rtcmpu_tasks":
            self.tasks = (self.tasks or 0) + value
        elif family == "rtcmpu_up":
            self.up = value == 1
        elif family == "rtcmpu_collection_state" and value:
            self.state = labels.split('"')[1]
        elif family == "rtcmpu_task_changes_total":
            self.changes[labels.split('"')[1]] = value
        elif family == "rtcmpu_collection_attempts_total" and 'kind="sweep"' in labels:
            self.sweeps += value


def scrape(url: str) -> dict[str, Seen]:
    """Return what the daemon shows of each app."""
    seen: dict[str, Seen] = defaultdict(Seen)
    for family, app, labels, value in _SAMPLE.findall(ask(f"{url}/metrics").text):
        seen[app].take(family, labels, float(value))
    return seen


def lies(odd: Odd, seen: Seen) -> Iterator[str]:
    """Yield what must never be shown, at no moment."""
    if seen.tasks != odd.tasks:
        yield f"{seen.tasks} tasks in state {seen.state}"
    for change in ("added", "removed"):
        if seen.changes.get(change, 0):
            yield f"{seen.changes[change]} tasks {change} in state {seen.state}"
    if seen.up != (seen.state == "ok"):
        yield f"up is {seen.up} in state {seen.state}"


def watch(
    url: str, apps: dict[str, Odd], states: dict[str, frozenset[str]], found: dict[str, set[str]], *, sweeps: int
) -> None:
    """Scrape until every app has swept so often and settled, and note what is wrong on the way."""
    before = scrape(url)
    deadline = time.monotonic() + SETTLE_SECONDS
    waiting = dict(apps)
    while waiting and time.monotonic() < deadline:
        time.sleep(1)
        shown = scrape(url)
        for name, odd in apps.items():
            found[name].update(lies(odd, shown[name]))
        for name in list(waiting):
            swept = shown[name].sweeps >= before[name].sweeps + sweeps
            if swept and shown[name].state in states[name]:
                del waiting[name]
    for name in waiting:
        found[name].add(f"did not end as {sorted(states[name])}: {shown[name]}")


def odd_apps() -> dict[str, Odd]:
    """Return every odd app by its id."""
    every = list(odd_answers())
    apps = {re.sub(r"[^A-Za-z0-9_-]+", "-", odd.name): odd for odd in every}
    assert len(apps) == len(every)
    return apps


def grouped(apps: dict[str, Odd]) -> list[list[str]]:
    """Return apps by account: one that throttles has an account of its own, since it slows all of its account."""
    alone = [name for name, odd in apps.items() if "throttled" in odd.states]
    others = [name for name in apps if name not in alone]
    return [[name] for name in alone] + [others[start : start + 10] for start in range(0, len(others), 10)]


def check_log(daemon: Running) -> None:
    """No answer ends in an exception that nobody foresaw."""
    assert "Traceback" not in daemon.err
    assert not re.search("internal.error.*exception=", daemon.err)


def test_an_odd_answer_never_makes_a_wrong_picture(programs: Programs) -> None:
    """Each odd answer ends in the right picture with `ok`, or in the old data with a named state, and heals."""
    apps = odd_apps()
    assert len(apps) > 80
    found: dict[str, set[str]] = defaultdict(set)
    with OddService(apps) as service:
        accounts = [
            account(
                service.address, names, name=f"account-{place}", key_id=f"key-{place}", more="requests_per_second: 50"
            )
            for place, names in enumerate(grouped(apps))
        ]
        daemon, url = programs.start_daemon(write_configuration(programs.directory, *accounts, rest=REST))
        all_ok = dict.fromkeys(apps, frozenset({"ok"}))

        def all_read() -> None:
            shown = scrape(url)
            assert [name for name, odd in apps.items() if shown[name].tasks != odd.tasks] == []

        eventually(all_read)
        service.turn_odd()
        watch(url, apps, {name: odd.states for name, odd in apps.items()}, found, sweeps=ODD_SWEEPS)
        service.turn_good()
        watch(url, apps, all_ok, found, sweeps=1)
        daemon.end()
        check_log(daemon)
    wrong = [f"{name}: {', '.join(sorted(what))}" for name, what in found.items() if what]
    assert not wrong, "\n".join(wrong)


INVALID = frozenset({"invalid_response"})
NETWORK = frozenset({"network_error"})


def odd_answers() -> Iterator[Odd]:
    """Yield every app."""
    yield from _texts()
    yield from _rows()
    yield from _statuses()
    yield from _encodings()
    yield from _connections()


def _made(make: Callable[[bytes], bytes], content_type: str = JSON, **headers: str) -> Answer:
    """Return the true page, made into something else."""

    def answer(exchange: Exchange) -> web.Response:
        named = {"Content-Type": content_type} | {name.replace("_", "-"): text for name, text in headers.items()}
        return web.Response(body=make(exchange.listed(exchange.page)), headers=named)

    return answer


def _followed_by(rows: list[Any]) -> Answer:
    """Return the true page, and more rows."""
    return paged(lambda exchange: [*exchange.page, *rows][: exchange.asked.page_size])


def _texts() -> Iterator[Odd]:
    """Yield bodies of a 200 that are no JSON, or only nearly."""
    for name, make in {
        "empty": lambda _: b"",
        "spaces": lambda _: b"  \n ",
        "html": lambda _: b"<html><body>Welcome</body></html>",
        "cut-off": lambda page: page[: len(page) // 2],
        "cut-at-the-end": lambda page: page[:-1],
        "trailing-garbage": lambda page: page + b"x",
        "two-documents": lambda page: page + page,
        "jsonp": lambda page: b"callback(" + page + b")",
        "single-quotes": lambda page: page.replace(b'"', b"'"),
        "comment": lambda page: b"/* */" + page,
        "byte-order-mark": lambda page: b"\xef\xbb\xbf" + page,
        "utf-16": lambda page: page.decode().encode("utf-16"),
        "utf-16-bare": lambda page: page.decode().encode("utf-16-le"),
        "nan": lambda page: page.replace(b'"60"', b"NaN"),
        "zeros": lambda page: bytes(len(page)),
    }.items():
        yield always(f"text-{name}", _made(make), *INVALID)
    for name, make in {
        "pretty": lambda page: json.dumps(json.loads(page), indent=4).encode(),
        "compact": lambda page: json.dumps(json.loads(page), separators=(",", ":")).encode(),
        "reversed-members": lambda page: json.dumps(dict(reversed(json.loads(page).items()))).encode(),
        "white-space-around": lambda page: b"\r\n\t" + page + b"\n\n",
        "not-utf-8": lambda page: page.replace(b"channel", b"chann\xe9l"),
        "half-character": lambda page: page.replace(b"channel", b"\\ud83d"),
        "more-members": lambda page: json.dumps({"HostId": "h", "Tip": {"a": 1}, **json.loads(page)}).encode(),
        "success": lambda page: json.dumps({"Code": "200", "Success": True, **json.loads(page)}).encode(),
        "escaped-key": lambda page: page.replace(b'"MPUTasks"', b'"\\u004dPUTasks"'),
    }.items():
        yield always(f"text-{name}", _made(make), "ok")


def _rows() -> Iterator[Odd]:
    """Yield pages with odd rows beside the true ones."""
    extras: dict[str, list[Any]] = {
        "nameless": [{"TaskId": ""}, {"Region": "x"}, {"TaskId": None}],
        "of-other-types": [None, 5, "x", [], True],
        "empty": [{}] * 5,
        "long-id": [{"TaskId": "x" * 300}],
        "id-is-object": [{"TaskId": {"a": 1}}],
    }
    for name, extra in extras.items():
        yield Odd(f"rows-{name}", _followed_by(extra))
    yield Odd(
        "rows-twice",
        paged(lambda exchange: [row for row in exchange.page for _ in range(2)][:100]),
        states=frozenset({"ok", "partial"}),
    )
    yield Odd("rows-last-one-twice", paged(lambda exchange: (exchange.page + exchange.page[-1:])[:100]))


def _statuses() -> Iterator[Odd]:
    """Yield statuses of answers that are no page."""
    for status in (201, 202, 203, 206):
        yield always(f"status-{status}", as_json({"RequestId": "r", "MPUTasks": []}, status), *INVALID)
    for status in (301, 302, 303, 307, 308):
        yield always(f"status-{status}", as_json({"RequestId": "r", "MPUTasks": []}, status, Location="/x"), *NETWORK)
    for status in (400, 401, 403, 404, 405, 407, 410, 413, 414, 418, 421, 451):
        yield always(f"html-{status}", raw(b"<html>", status, "text/html"), *NETWORK)
    for status in (500, 501, 502, 503, 504, 520, 599):
        yield always(f"html-{status}", raw(b"<html>", status, "text/html"), "server_error")
    yield always("html-408", raw(b"<html>", 408, "text/html"), "timeout")
    yield always("html-429", raw(b"<html>", 429, "text/html", Retry_After="1"), "throttled")
    yield always("html-403-retry-after", raw(b"<html>", 403, "text/html", Retry_After="1"), "throttled")
    yield always("html-503-retry-after", raw(b"<html>", 503, "text/html", Retry_After="1"), "server_error")


def _encodings() -> Iterator[Odd]:
    """Yield content encodings and types."""
    bomb = gzip.compress(b" " * 40_000_000)  # once, not for each answer
    for name, make, encoding, states in (
        ("gzip", gzip.compress, "gzip", {"ok"}),
        ("gzip-two-members", lambda page: gzip.compress(page[:99]) + gzip.compress(page[99:]), "gzip", {"ok"}),
        ("deflate", zlib.compress, "deflate", {"ok"}),
        ("deflate-raw", lambda page: zlib.compress(page)[2:-4], "deflate", {"ok"}),
        ("identity", bytes, "identity", {"ok"}),
        ("unknown", bytes, "x-none", {"ok"}),
        ("gzip-plain", bytes, "gzip", INVALID),
        ("gzip-cut-off", lambda page: gzip.compress(page)[:-40], "gzip", INVALID),
        ("gzip-wrong-sum", lambda page: gzip.compress(page)[:-8] + b"12345678", "gzip", INVALID),
        ("gzip-twice", lambda page: gzip.compress(gzip.compress(page)), "gzip", INVALID),
        ("gzip-unnamed", gzip.compress, "identity", INVALID),
        ("brotli", gzip.compress, "br", INVALID),
        ("zstd", gzip.compress, "zstd", INVALID),
        ("gzip-bomb", lambda _: bomb, "gzip", INVALID),
    ):
        yield always(f"encoding-{name}", _made(make, Content_Encoding=encoding), *states)
    for content_type in ("text/html", "text/plain; charset=utf-16", "image/png", "nonsense"):
        yield always(f"type-{content_type}".replace(" ", ""), _made(bytes, content_type), "ok")


def _connections() -> Iterator[Odd]:
    """Yield ways in which no whole answer comes."""
    yield always("connection-closed", _written(b""), *NETWORK)
    yield always("connection-no-http", _written(b"SSH-2.0-OpenSSH_9.2\r\n"), *NETWORK)
    yield always("connection-half-a-head", _written(b"HTTP/1.1 200 OK\r\nContent-Le"), *NETWORK)
    yield always("connection-too-short", _written(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"), *NETWORK)
    yield always(
        "connection-half-a-chunk", _written(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"), *NETWORK
    )
    yield always(
        "connection-too-long",
        _written(b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{"RequestId": "r"}'),
        *INVALID,
        *NETWORK,
    )
    yield always("connection-hangs", hangs, "timeout")
    yield always("connection-drips", _drips, "timeout")


def _written(data: bytes) -> Answer:
    """Write bytes in place of an answer, and close the connection."""

    async def answer(exchange: Exchange) -> web.StreamResponse:
        transport = exchange.request.transport
        assert transport is not None
        transport.write(data)
        transport.close()
        return web.Response()

    return answer


async def _drips(exchange: Exchange) -> web.StreamResponse:
    """Answer a byte at a time."""
    response = web.StreamResponse()
    await response.prepare(exchange.request)
    with suppress(ConnectionError):
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.1)
    return response
