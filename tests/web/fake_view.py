"""A view that shows what a test puts into it, and example statuses."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from msgspec.structs import replace

from exporter.collector.inventory import Entry
from exporter.collector.past import History, PastViolation, RecordedChange
from exporter.collector.status import Status, Sweep, SweepReport
from exporter.core.collection_state import State
from exporter.core.task import Audio, Configuration, Encoding, Output, Pane, Sei, Source, Task, Video
from exporter.metrics.exposition import Body, Format
from exporter.rules.facts import PushKey
from exporter.rules.rule import Rule, Severity
from exporter.web.application import application
from exporter.web.view import (
    AppView,
    BudgetView,
    FindingDetail,
    FindingKind,
    FindingsView,
    RuleView,
    SweepStart,
    TaskFinding,
    TasksView,
    TaskView,
    Trend,
    severest_first,
)
from tests.metrics.builders import STATUS, configuration
from tests.support.virtual_time import SetClock

NOW = 1_800_000_000.0
SWEEP = Sweep(
    began=NOW - 120, duration_seconds=1.5, requests=3, repaired_tasks=0, duplicate_rows=1, rows_without_task_id=0
)


WELL = replace(
    STATUS,
    account="production",
    app_id="live-main",
    last_update_began=NOW - 3,
    last_sweep_began=NOW - 120,
    last_attempt_began=NOW - 3,
    attempts={("update", State.OK): 40, ("sweep", State.OK): 2},
    sweep=SWEEP,
)


def status(**changes: Any) -> Status:
    """Return the status of an app that is well, with `changes`."""
    return replace(WELL, **changes)


def app_view(tasks: Mapping[tuple[str, str], int] | None = None, **changes: Any) -> AppView:
    """Return an app as it is shown; `tasks` None: nothing is known of them."""
    return AppView(status(**changes), tasks)


PENDING = app_view(
    app_id="live-new",
    state=State.PENDING,
    reason="the first sweep has not finished",
    up=False,
    data_available=False,
    last_update_began=None,
    last_sweep_began=None,
    last_attempt_began=None,
    attempts={},
    sweep=None,
)


def recorded(number: int, **changes: Any) -> RecordedChange:
    """Return a change, one second after the one whose number is lower by one, with `changes`."""
    plain = RecordedChange(number, NOW + number, "production", "live-main", f"task-{number}", "added", ())
    return replace(plain, **changes)


def rule(name: str = "video-bitrate-agreed", **changes: Any) -> Rule:
    """Return a rule, with `changes`."""
    plain = Rule(
        name=name,
        title="Video bitrate within what was agreed",
        severity=Severity.WARNING,
        expect="task.video.bitrate_kbps <= 3000",
        owner="live-ops",
        runbook_url="https://runbooks.example.com/bitrate",
    )
    return replace(plain, **changes)


def findings(since: Mapping[str, float], *, ageless: Collection[str] = (), **changes: Any) -> FindingsView:
    """Return the findings of one rule in one app, whose messages name the task, with `changes`.

    `since` says since when, by TaskId; of `ageless` ones that is not known.
    """
    plain = FindingsView(
        account="production",
        app_id="live-main",
        rule=rule(),
        owner=changes.get("rule", rule()).owner or "live-ops",
        data_available=True,
        count=len(since) + len(ageless),
        task_ids=lambda: [*since, *ageless] if ageless else since.keys(),
        since=since,
        detail=lambda task_id: FindingDetail(message=f"about {task_id or 'the app'}"),
    )
    return replace(plain, **changes)


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


Client: TypeAlias = TestClient[web.Request, web.Application]


def entry(task_id: str, task_configuration: Configuration = FULL, channel_id: str = "channel") -> Entry:
    """Return a task that was first seen a minute ago and changed half a minute ago."""
    task = Task(task_id, channel_id, task_configuration, row_digest=0, digests=bytes(40))
    return Entry.of(task, first_seen=NOW - 60, last_changed=NOW - 30, sent_at=0.0)


def push_key(state: str, expires_at: int | None, signer: str = "tencent", *, expired_at_start: bool = False) -> PushKey:
    """Return the key of a push URL."""
    return PushKey(state, expires_at, expired_at_start=expired_at_start, signer=signer)


class FakeView:
    """Answers as told, and remembers what it was asked."""

    def __init__(self, apps: Sequence[AppView] = (), chunks: Sequence[bytes] = (b"up 1\n",)) -> None:
        self.apps = apps
        self.entries: dict[tuple[str, str], dict[str, Entry]] = {}
        self.push_keys: dict[str, Sequence[PushKey]] = {}
        self.task_findings: tuple[TaskFinding, ...] = ()
        self.chunks = chunks
        self.config = "accounts: []\n"
        self.task_chunks: Sequence[bytes] | None = None
        self.began = NOW - 3600  # since when changes are remembered
        self.recorded: list[RecordedChange] = []
        self.ended: list[PastViolation] = []
        self.violations: Sequence[FindingsView] = ()
        self.found: dict[FindingKind, list[FindingsView]] = {}  # of other kinds
        self.shown_rules: list[RuleView] = []
        self.reloads = 0
        self.refusal: str | None = None
        self.unready: str | None = None
        self.unhealthy: str | None = None
        self.trends: dict[tuple[str, str], Trend] = {}
        self.shown_budgets: Sequence[BudgetView] = ()
        self.start = SweepStart.STARTED
        self.shown_sweep: SweepReport | None = None
        self.collected: list[tuple[str, str]] = []
        self.asked: list[tuple[Format, bool]] = []
        self.finished: list[tuple[str, int]] = []

    def statuses(self) -> Sequence[AppView]:
        """Return `apps`, with the numbers of `violations`."""
        counts = {app.status.key: Counter[Severity]() for app in self.apps}
        for group in self.violations:
            counts.get((group.account, group.app_id), Counter())[group.rule.severity] += group.count
        known = {key for key, of_app in counts.items() if of_app}
        known |= {app.status.key for app in self.apps if app.status.data_available}
        return [
            replace(app, violations=severest_first(counts[app.status.key]) if app.status.key in known else None)
            for app in self.apps
        ]

    def metrics(self, exposition_format: Format, *, gzip: bool) -> Body:
        return self._body(self.chunks, exposition_format, gzip)

    def task_metrics(self, exposition_format: Format, *, gzip: bool) -> Body | None:
        return None if self.task_chunks is None else self._body(self.task_chunks, exposition_format, gzip)

    def _body(self, chunks: Sequence[bytes], exposition_format: Format, gzip: bool) -> Body:
        self.asked.append((exposition_format, gzip))
        return Body(exposition_format.value, gzip, tuple(chunks), sum(map(len, chunks)))

    def trend(self, account: str = "", app_id: str = "") -> Trend:
        """Return one of `trends`."""
        return self.trends.get((account, app_id), Trend(60.0))

    def budgets(self) -> Sequence[BudgetView]:
        return self.shown_budgets

    def put(self, entries: Iterable[Entry], account: str = "production", app_id: str = "live-main") -> None:
        self.entries.setdefault((account, app_id), {}).update({entry.task.task_id: entry for entry in entries})

    def tasks(self, account: str, app_id: str) -> TasksView | None:
        for app in self.apps:
            if (app.status.account, app.status.app_id) == (account, app_id):
                entries = tuple(self.entries.get((account, app_id), {}).values())
                return TasksView(app.status, entries, self.keys_of)
        return None

    def task(self, account: str, app_id: str, task_id: str) -> TaskView | None:
        """Return one task, with `task_findings`."""
        view = self.tasks(account, app_id)
        found = self.entries.get((account, app_id), {}).get(task_id)
        if view is None or found is None:
            return None
        return TaskView(view.status, found, self.task_findings, self.keys_of(found))

    def keys_of(self, entry: Entry) -> Sequence[PushKey]:
        """Return those of `push_keys` that are of a task."""
        return self.push_keys.get(entry.task.task_id, ())

    def collect_now(self, account: str, app_id: str) -> SweepStart:
        """Return `start`, and remember for which app."""
        self.collected.append((account, app_id))
        return self.start

    def sweep_report(self, account: str, app_id: str) -> SweepReport | None:  # noqa: ARG002 - as `View` has it
        return self.shown_sweep

    def past(self) -> History:
        """Return what answers from `recorded`, the last first, and from `ended`."""
        past = History(SetClock(self.began))
        past._changes.extend(self.recorded)
        for violation in self.ended:
            past.ended(violation)
        return past

    def findings(self, kind: FindingKind, app: tuple[str, str] | None = None) -> Sequence[FindingsView]:
        """Return `violations`, or those of `found`."""
        groups = self.violations if kind is FindingKind.VIOLATION else self.found.get(kind, ())
        return [group for group in groups if app in {None, (group.account, group.app_id)}]

    def rules(self) -> Sequence[RuleView]:
        return self.shown_rules

    async def reload(self) -> str | None:
        self.reloads += 1
        return self.refusal

    def ready(self) -> str | None:
        return self.unready

    def healthy(self) -> str | None:
        return self.unhealthy

    def redacted_config(self) -> str:
        return self.config

    def request_finished(self, path_template: str, code: int) -> None:
        self.finished.append((path_template, code))


def client_of(view: FakeView, **options: Any) -> Client:
    """Return the client of a server of a view; `options` are those of the application."""
    return TestClient(TestServer(application(view, SetClock(), **options), access_log=None))
