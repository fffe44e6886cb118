"""A list service apart from the program and its simulator, whose apps can begin to answer oddly.

Each app has one `Odd`, and lists its tasks as documented until `turn_odd`.
"""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple, Self

from aiohttp import web

Row = dict[str, Any]
OUTCOME_IS_OK = frozenset({"ok"})


class Asked(NamedTuple):
    """One request."""

    app: str
    page_no: int
    page_size: int
    task_id: str | None  # set in a lookup


@dataclass
class Exchange:
    """One request to an app that answers oddly."""

    asked: Asked
    request: web.BaseRequest
    tasks: list[Row]  # what the app really lists
    since: float  # seconds since the app became odd

    @property
    def page(self) -> list[Row]:
        return page_of(self.tasks, self.asked)

    @property
    def window(self) -> tuple[int, int]:
        """The first row that was asked for, and the one behind the last."""
        start = (self.asked.page_no - 1) * self.asked.page_size
        return start, start + self.asked.page_size

    def listed(self, rows: Iterable[Row]) -> bytes:
        return json.dumps({"RequestId": "r", "MPUTasks": list(rows)}).encode()


JSON = "application/json"

Answer = Callable[[Exchange], web.StreamResponse | Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Odd:
    """How an app answers, and what is right to make of it."""

    name: str
    listing: Answer
    look_up: Answer | None = None  # None: as documented
    tasks: int = 60
    states: frozenset[str] = OUTCOME_IS_OK  # in which state the app is after a while


def true_page(exchange: Exchange) -> web.StreamResponse:
    """Answer as documented."""
    return web.Response(body=exchange.listed(exchange.page), content_type=JSON)


def raw(body: bytes, status: int = 200, content_type: str = JSON, **headers: str) -> Answer:
    """Return an answer that is always the same; `_` in the names of headers is `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: web.Response(body=body, status=status, headers={"Content-Type": content_type, **named})


def as_json(content: Any, status: int = 200, **headers: str) -> Answer:
    """Return an answer of JSON."""
    return raw(json.dumps(content).encode(), status, **headers)


def paged(rows: Callable[[Exchange], list[Row]]) -> Answer:
    """Return a page of other rows."""
    return lambda exchange: web.Response(body=exchange.listed(rows(exchange)), content_type=JSON)


def always(name: str, answer: Answer, *states: str) -> Odd:
    """Return an app that answers everything so, lookups included."""
    return Odd(name, answer, answer, states=frozenset(states))


async def hangs(_exchange: Exchange) -> web.StreamResponse:
    """Never answer."""
    await asyncio.sleep(600)
    return web.Response()


def page_of(tasks: list[Row], asked: Asked) -> list[Row]:
    """Return the rows that are asked for."""
    if asked.task_id is not None:
        return [task for task in tasks if task["TaskId"] == asked.task_id]
    start = (asked.page_no - 1) * asked.page_size
    return tasks[start : start + asked.page_size]


def rows_of(app: str, count: int) -> list[Row]:
    """Return the tasks of an app."""
    return [
        {
            "AppId": app,
            "TaskId": f"{app}-{number}",
            "ChannelId": f"channel-{number}",
            "MixMode": "1",
            "Region": "CN-Shanghai",
            "MaxIdleTime": "60",
            "StreamURL": f"rtmp://push.example.com/live/{number}",
        }
        for number in range(count)
    ]


@dataclass
class OddService:
    """Serves all apps from a thread of its own, on a free port of 127.0.0.1."""

    apps: Mapping[str, Odd]
    address: str = ""
    requests: dict[str, int] = field(default_factory=dict)
    _tasks: dict[str, list[Row]] = field(default_factory=dict)
    _odd_since: float | None = None
    _end: Callable[[], object] = lambda: None

    def __enter__(self) -> Self:
        self._tasks = {name: rows_of(name, odd.tasks) for name, odd in self.apps.items()}
        listening = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(listening),), daemon=True)
        self._thread.start()
        assert listening.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._thread.join(10)

    def turn_odd(self) -> None:
        self._odd_since = time.monotonic()

    def turn_good(self) -> None:
        """Let every app answer as documented again."""
        self._odd_since = None

    async def _serve(self, listening: threading.Event) -> None:
        """Serve until the end."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._end = lambda: loop.call_soon_threadsafe(ended.set)
        listening.set()
        await ended.wait()
        await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        query = request.rel_url.query
        app = query["AppId"]
        asked = Asked(app, int(query.get("PageNo", 1)), int(query.get("PageSize", 10)), query.get("TaskId"))
        self.requests[app] = self.requests.get(app, 0) + 1
        tasks, odd = self._tasks[app], self.apps[app]
        answer: Answer | None = odd.listing if asked.task_id is None else odd.look_up
        if self._odd_since is None or answer is None:
            return web.json_response({"RequestId": "r", "MPUTasks": page_of(tasks, asked)})
        made = answer(Exchange(asked, request, tasks, time.monotonic() - self._odd_since))
        return made if isinstance(made, web.StreamResponse) else await made
