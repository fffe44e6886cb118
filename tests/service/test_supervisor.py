"""Exceptions that nobody expected: counted, logged once, and kept where they happen."""

import asyncio
import re
import sys
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
from structlog.testing import capture_logs

from exporter.aliyun.client import Client
from exporter.collector.collector import Collector
from exporter.commands import ExitCode
from exporter.commands.audit import _audit
from exporter.commands.check_config import _probe
from exporter.commands.collect import _collect
from exporter.core import log
from exporter.core.collection_state import Component
from exporter.metrics.exposition import Exposition
from exporter.metrics.self_metrics import SelfMetrics
from exporter.rules.app_engine import AppPolicy
from exporter.rules.engine import PolicyEngine
from exporter.rules.rule_loader import ConfigurationSource
from exporter.service.supervisor import Supervisor, written
from tests.support.command_line import logging_restored
from tests.support.monitored import simulated
from tests.support.virtual_time import VirtualClock, run
from tests.support.virtual_world import World, play

pytestmark = pytest.mark.usefixtures("no_process_before")

FOREIGN = "user-4711".upper()  # no line of source has it


class Failing:
    """A stand-in for a method that raises for one app while it is switched on."""

    def __init__(self, patch: pytest.MonkeyPatch, owner: type, name: str, key_of: Callable[..., object]) -> None:
        self.on = True
        original = getattr(owner, name)
        failing = self

        def method(this: Any, *arguments: Any, **more: Any) -> Any:
            if failing.on and "app-1" in str(key_of(this, *arguments)):
                raise KeyError(FOREIGN)
            return original(this, *arguments, **more)

        patch.setattr(owner, name, method)


PLACES: dict[str, tuple[type, str, Callable[..., object], Component]] = {
    "an update": (Collector, "_update", lambda this, *_: this.app.id, Component.UPDATE),
    "a sweep": (Collector, "_sweep", lambda this, *_: this.app.id, Component.SWEEP),
    "what follows from changes": (PolicyEngine, "collected", lambda _, app, *__: app, Component.SWEEP),
    "rendering": (Exposition, "update", lambda _, key, report: report.aggregates and key, Component.SWEEP),
    "the evaluation of rules": (AppPolicy, "_evaluate", lambda this, *_: this.key, Component.RULES),
}


@pytest.mark.parametrize("place", PLACES)
def test_an_exception_of_one_app_is_its_state_and_no_other_apps_trouble(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it happens: the app says `internal_error` and why, the other stays fresh, and both are fine after it."""
    owner, name, key_of, part = PLACES[place]
    with monkeypatch.context() as patch:
        failing = Failing(patch, owner, name, key_of)

        async def scenario(world: World) -> Sequence[MutableMapping[str, Any]]:
            await world.until(lambda seen: seen.state("app-1") == "internal_error")
            for _ in range(10):
                await world.clock.sleep(6)
                seen = world.seen()
                assert (seen.state("app-1"), seen.up("app-1")) == ("internal_error", 0)
                assert world.is_true(seen, "app-2")
            failures = world.seen().value("rtcmpu_exporter_internal_errors_total", part=part.value)
            assert failures is not None
            assert 3 < failures < 200, "it backs off"
            status = world.monitor.apps["production", "app-1"].collector.status
            assert status.reason.startswith("internal error: KeyError at ")
            failing.on = False
            await world.until_true("app-1", "app-2")
            return world.log

        logs = play(scenario, apps={"app-1": 30, "app-2": 30})
    errors = [line for line in logs if line["event"] == "internal error"]
    assert 1 <= len(errors) <= 4, "once in each place, not each time"
    assert {line["app_id"] for line in errors} == {"app-1"}
    assert "KeyError" in errors[0]["exception"]
    assert FOREIGN not in str(logs), "what an exception says may quote the service"


def kept_running(
    fails: Callable[[VirtualClock, int], Awaitable[None]],
) -> tuple[list[int], Counter[str], Sequence[object]]:
    """Run a chore for 300 s; return the seconds from one start to the next, what was counted, and the log."""
    counted: Counter[str] = Counter()
    began: list[float] = []

    async def main() -> None:
        clock = VirtualClock()

        async def chore() -> None:
            began.append(clock.monotonic())
            await fails(clock, len(began))

        supervisor = Supervisor(lambda part: counted.update([part]), clock)
        running = asyncio.create_task(supervisor.keep_running(Component.PUBLISH, chore))
        await clock.sleep(300)
        running.cancel()

    with capture_logs() as logs:
        run(main())
    assert FOREIGN not in str(logs)
    return [round(later - sooner) for sooner, later in pairwise(began)], counted, logs


def test_what_should_always_run_begins_again() -> None:
    """It is restarted with growing pauses, counted each time, and one that ends by itself counts as failed."""

    async def fails(_: VirtualClock, number: int) -> None:
        if number % 2:
            raise ValueError(FOREIGN)

    pauses, counted, _ = kept_running(fails)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert counted == {Component.PUBLISH: 10}


def test_what_ran_for_long_counts_as_working() -> None:
    """Its next failure is logged again, and followed by the shortest pause."""

    async def fails(clock: VirtualClock, _: int) -> None:
        await clock.sleep(61)
        raise ValueError(FOREIGN)

    pauses, _, logs = kept_running(fails)
    assert set(pauses) == {62}
    assert len(logs) == 4


def test_a_guarded_block_fails_by_itself() -> None:
    """Each failure counts; it is logged when it is new: at first, after the part worked, and for an app that is new."""
    counted: Counter[str] = Counter()
    supervisor = Supervisor(lambda part: counted.update([part]), VirtualClock())

    def attempt(*, fails: bool) -> None:
        with supervisor.guarded(Component.STORAGE, ("production", "app-1")):
            if fails:
                raise KeyError(FOREIGN)

    with capture_logs() as logs:
        for fails in (True, True, False, True):
            attempt(fails=fails)
        supervisor.forget(("production", "app-1"))
        attempt(fails=True)
    assert counted == {Component.STORAGE: 4}
    assert len(logs) == 3


def test_a_failure_names_its_place_and_what_led_to_it() -> None:
    """The reason has the innermost line; the traceback has causes and contexts in order, but for suppressed ones."""
    for suppressed in (False, True):
        try:
            try:
                int("not a number")
            except ValueError:
                try:
                    raise TypeError("the context")  # noqa: TRY301 - its context is what is looked for
                except TypeError as context:
                    _raise_from(None if suppressed else context)
        except KeyError as error:
            raised = error
        (innermost,) = traceback.extract_tb(raised.__traceback__, limit=-1)
        reason = Supervisor(lambda _: None, VirtualClock()).failed(Component.RULES, raised)
        assert reason.startswith(f"internal error: KeyError at service/test_supervisor.py:{innermost.lineno};")
        names = re.findall(r"^(\w+Error)", written(raised), re.MULTILINE)
        assert names == (["KeyError"] if suppressed else ["ValueError", "TypeError", "KeyError"])


def _raise_from(cause: BaseException | None) -> None:
    raise KeyError(FOREIGN) from cause


@pytest.mark.parametrize("fails", ["look_at_clock", "look_at_budget"])
def test_a_failing_look_at_one_app_does_not_hide_the_others(fails: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done for all apps in turn is done for those after a failing one, too."""
    method = {"look_at_clock": "look_at_clock", "look_at_budget": "set_intervals"}[fails]
    with monkeypatch.context() as patch:
        Failing(patch, Collector, method, lambda this, *_: this.app.id)

        async def scenario(world: World) -> None:
            await world.until_true("app-2")
            for fault in ("app-1", "app-2"):
                world.fail("internal_error", app_id=fault)
            await world.clock.sleep(90)
            assert world.seen().value("rtcmpu_collection_data_available", app_id="app-2") == 0

        play(scenario, apps={"app-1": 3, "app-2": 3})


@pytest.mark.parametrize("command", ["collect", "audit", "check-config"])
async def test_commands_show_the_other_apps_after_a_bug_in_one(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An app that can't be read because of a bug is shown with that state, the others with their findings: code 3."""
    read = Client.list_tasks

    async def fails(this: Client, app_id: str, **page: int) -> Any:
        if app_id == "app-1":
            raise KeyError(FOREIGN)
        return await read(this, app_id, **page)

    monkeypatch.setattr(Client, "list_tasks", fails)
    with logging_restored():
        async with simulated() as service:
            config, metrics = service.config("app-1", "app-2"), SelfMetrics(version="0")
            source = ConfigurationSource.of_config(config)
            log.configure("error", "logfmt", sys.stderr, metrics.message_logged)
            match command:
                case "collect":
                    code = await _collect(source, "table", metrics)
                case "audit":
                    code = await _audit(source, "table", None, metrics)
                case _:
                    code = await _probe(config)
    shown = capsys.readouterr()
    assert code == ExitCode.UNREAD
    (first, second) = (next(line for line in shown.out.splitlines() if app in line) for app in ("app-1", "app-2"))
    assert "internal_error" in first
    assert re.search(r"\bok\b", second)
    assert FOREIGN not in shown.out + shown.err
