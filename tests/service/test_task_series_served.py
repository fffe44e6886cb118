"""The daemon on a local service: series about single tasks, and changes, as they are served."""

import json
from typing import Any

import pytest

from exporter.config.model import Config, Metrics, PerTask
from tests.service.test_daemon import Started, started
from tests.support.monitored import Simulated, sample, until

pytestmark = pytest.mark.usefixtures("no_process_before", "often_published")

TASKS = 10  # of an app of the service


def _with(config: Config, per_task: PerTask) -> Config:
    """Return a configuration with other settings of the series."""
    return config.changed(metrics=Metrics(per_task=per_task))


async def _until_tasks(one: Started, number: int) -> str:
    """Wait until this many tasks have series; return the exposition."""

    async def are_there() -> bool:
        return (await one.ask("/metrics/tasks")).text.count("\nrtcmpu_task_info{") == number

    await until(are_there)
    return (await one.ask("/metrics/tasks")).text


async def test_series_about_tasks_are_switched_by_a_reload(simulator: Simulated) -> None:
    """They come and go with the setting, in both directions and without the apps being read again for it."""
    config = simulator.config("app-1", "app-2")
    async with started(config) as one:
        await one.until_data_of("app-1", "app-2")
        answer = await one.ask("/metrics/tasks")
        assert (answer.status, "per_task" in answer.text) == (404, True)
        swept = sample(
            await one.metrics(), "rtcmpu_collection_attempts_total", app_id="app-1", kind="sweep", outcome="ok"
        )

        one.next = _with(config, PerTask(enabled=True))
        await one.daemon.reload()
        text = await _until_tasks(one, 2 * TASKS)
        series = sum(not line.startswith("#") for line in text.splitlines())
        await one.until_sample(series, "rtcmpu_exporter_series", path="/metrics/tasks")
        await one.until_sample(0, "rtcmpu_exporter_series_omitted", path="/metrics/tasks")

        one.next = config
        await one.daemon.reload()
        assert (await one.ask("/metrics/tasks")).status == 404
        text = await one.metrics()
        assert sample(text, "rtcmpu_exporter_series", path="/metrics/tasks") is None
        now = sample(text, "rtcmpu_collection_attempts_total", app_id="app-1", kind="sweep", outcome="ok")
        assert swept is not None
        assert now is not None
        assert now >= swept


async def test_the_series_of_a_removed_app_go_with_it(simulator: Simulated) -> None:
    """What a reload leaves out has no series any more; its neighbour keeps its own."""
    config = _with(simulator.config("app-1", "app-2"), PerTask(enabled=True))
    async with started(config) as one:
        await _until_tasks(one, 2 * TASKS)
        one.next = _with(simulator.config("app-2"), PerTask(enabled=True))
        await one.daemon.reload()
        text = await _until_tasks(one, TASKS)
        assert 'app_id="app-1"' not in text


async def test_changes_are_served_from_the_baseline_on(simulator: Simulated) -> None:
    """The first tasks are no changes; what is changed then is listed with its groups, counted, and dated."""
    async with started(simulator.config("app-1", "app-2")) as one:
        await one.until_data_of("app-1", "app-2")
        assert json.loads((await one.ask("/api/v1/changes")).text)["changes"] == []
        task_id = json.loads(next(simulator.service.fleet.bodies("app-2")))["TaskId"]
        simulator.service.fleet.update("app-2", task_id, {"MaxIdleTime": "77"})

        async def is_noticed() -> bool:
            return "77 s" in (await one.ask("/api/v1/changes?app_id=app-2")).text

        await until(is_noticed)
        answer: dict[str, Any] = json.loads((await one.ask(f"/api/v1/changes?task_id={task_id}&limit=5")).text)
        (change,) = answer["changes"]
        assert (change["account"], change["app_id"], change["change"]) == ("production", "app-2", "modified")
        assert [(field["field"], field["after"]) for field in change["fields"]] == [("idle_timeout", "77 s")]
        assert answer["remembered_since"] < change["noticed_timestamp_seconds"]
        assert json.loads((await one.ask("/api/v1/changes?app_id=app-1")).text)["changes"] == []
        text = await one.until_sample(1, "rtcmpu_task_changes_total", app_id="app-2", change="modified")
        assert sample(text, "rtcmpu_task_field_changes_total", app_id="app-2", field="idle_timeout") == 1
        assert sample(text, "rtcmpu_task_changes_total", app_id="app-1", change="modified") == 0
