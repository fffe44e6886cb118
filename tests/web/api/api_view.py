"""A view with tasks, the API of one over HTTP, and what is in both."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from aiohttp import web
from aiohttp.test_utils import TestClient

from exporter.collect.inventory import Entry
from exporter.state import State
from exporter.task import Audio, Configuration, Encoding, Output, Pane, Sei, Source, Task, Video
from exporter.web.api.api_routes import api_routes
from exporter.web.application import accounting
from exporter.web.view import AppView, FindingKind, RuleView, TaskFinding, TasksView, TaskView
from tests.metrics.builders import configuration
from tests.web.fake_view import NOW, PENDING, FakeView, app_view, findings, recorded, rule

Client: TypeAlias = TestClient[web.Request, web.Application]

FULL = configuration(
    idle_timeout_seconds=60,
    outputs=(Output("rtmp", "push.example.com", is_ali_cdn=None, has_userinfo=True),),
    has_multi_stream_url=True,
    has_transcode_params=True,
    source=Source("audio", "camera"),
    encoding=Encoding(
        audio_only=False,
        video=Video("H.264", "main", "fast", 1500, 25, 50, 1280, 720),
        audio=Audio(128, 2, 48_000),
    ),
    panes=(Pane(0.0, 0.0, 0.5, 1.0, 1, None, "camera", has_background_image=False),),
    has_background=True,
    users=1,
    user_streams=(("camera", None),),
    sei=Sei(5, None, 1000, None, None, has_payload=True),
    field_errors=("UserPanes.RenderMode",),
)
"""A configuration that has a bit of everything."""


class FixedClock:
    """A clock that stands still."""

    def now(self) -> float:
        """Return the moment of the example statuses."""
        return NOW

    def monotonic(self) -> float:
        """Return the start."""
        return 0.0

    async def sleep(self, seconds: float) -> None:
        """Return at once."""


def entry(task_id: str, task_configuration: Configuration = FULL, channel_id: str = "channel") -> Entry:
    """Return a task that was first seen a minute ago and changed half a minute ago."""
    task = Task(task_id, channel_id, task_configuration, row_digest=0, digests=bytes(40))
    return Entry(task, first_seen=NOW - 60, last_changed=NOW - 30, sent_at=0.0)


class ApiView(FakeView):
    """A view that has tasks, too."""

    def __init__(self, apps: Sequence[AppView] = ()) -> None:
        super().__init__(apps)
        self.entries: dict[tuple[str, str], dict[str, Entry]] = {}
        self.task_findings: tuple[TaskFinding, ...] = ()

    def put(self, entries: Iterable[Entry], account: str = "production", app_id: str = "live-main") -> None:
        """Add tasks to an app."""
        self.entries.setdefault((account, app_id), {}).update({entry.task.task_id: entry for entry in entries})

    def tasks(self, account: str, app_id: str) -> TasksView | None:
        """Return the tasks of one app."""
        for app in self.apps:
            if (app.status.account, app.status.app_id) == (account, app_id):
                return TasksView(app.status, tuple(self.entries.get((account, app_id), {}).values()))
        return None

    def task(self, account: str, app_id: str, task_id: str) -> TaskView | None:
        """Return one task, with `task_findings`."""
        view = self.tasks(account, app_id)
        found = self.entries.get((account, app_id), {}).get(task_id)
        return None if view is None or found is None else TaskView(view.status, found, self.task_findings)


def full_view() -> ApiView:
    """Return a view that has something of everything, hostile texts included."""
    stale = app_view(app_id="live-stale", up=False, data_available=False, state=State.TIMEOUT, reason="it took 10 s")
    view = ApiView([app_view({("CN-Shanghai", "mixed"): 2}), stale, PENDING])
    view.put([entry("task-1"), entry("task-2", configuration()), entry('"><script>\ud800\n/../%2f', FULL, "\u202e\0")])
    view.put([entry("task-1")], app_id="live-stale")
    view.recorded = [recorded(number) for number in range(1, 30)]
    view.found = {
        FindingKind.VIOLATION: [findings({"task-1": NOW, "task-2": NOW}), findings({"task-1": NOW}, rule=rule("b"))],
        FindingKind.EXEMPTED: [findings({}, ageless=["task-2"], rule=rule("c"))],
    }
    view.shown_rules = [RuleView(rule()), RuleView(rule("b"), why_off="policy.rules"), RuleView(rule("c"))]
    return view


def api_of(view: ApiView) -> web.Application:
    """Return an application that has the API alone."""
    app = web.Application(middlewares=[accounting(view)])
    app.add_routes(api_routes(view, FixedClock()))
    return app


async def json_of(client: Client, path: str, **parameters: Any) -> Mapping[str, Any]:
    """Return a good answer."""
    answer = await client.get(path, params=parameters)
    assert answer.status == 200, await answer.text()
    document: Mapping[str, Any] = await answer.json()
    return document
