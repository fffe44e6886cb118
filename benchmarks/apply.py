"""What a change costs between the list and the scrape: sums, lines, compression; none of it on the scrape path."""

import itertools
import statistics
import time
from collections.abc import Callable

from msgspec.structs import replace

from benchmarks.fleet import pages, tasks_of
from benchmarks.report import median_seconds, show
from exporter import __version__
from exporter.collector.status import Status
from exporter.config.model import Buckets
from exporter.core.collection_state import State
from exporter.core.task import Configuration, Task
from exporter.metrics.aggregates import Aggregates, AppReport
from exporter.metrics.exposition import Exposition, families
from exporter.metrics.self_metrics import SelfMetrics
from tests.metrics.builders import STATUS

DISTINCT_TASKS = 1000
TASKS = 100_000
APPS = (1, 20, 200)
RUNS = 100


def main() -> None:
    """Print both tables."""
    tasks = tasks_of(pages(DISTINCT_TASKS))
    configurations = [task.configuration for task in tasks]
    _show_sums(tasks, configurations)
    show(
        "One app's report, when there are others",
        ("apps", "what is new", "update, CPU", "publish, CPU"),
        [
            (apps, what, f"{update * 1e6:,.0f} us", f"{publish * 1e6:,.0f} us")
            for apps in APPS
            for what, (update, publish) in _reports(configurations, apps).items()
        ],
        note="update runs on the event loop; publish once for all that is new within 20 ms, most of it in a thread.",
    )


def _show_sums(tasks: list[Task], configurations: list[Configuration]) -> None:
    """Print what the aggregates take."""
    aggregates = Aggregates(Buckets())
    all_tasks = [(task.configuration, task.push_times) for task in itertools.islice(itertools.cycle(tasks), TASKS)]

    def rebuild() -> None:
        Aggregates(Buckets()).add_all(all_tasks)

    def change() -> None:
        for before, after in itertools.pairwise(configurations):
            aggregates.remove(before)
            aggregates.add(after)

    for configuration in configurations * 2:
        aggregates.add(configuration)
    changed = median_seconds(change, runs=9) / (len(configurations) - 1)
    rebuilt = median_seconds(rebuild, runs=3)
    show(
        "Aggregates",
        ("", "time"),
        [
            ("one changed task: take away, add", f"{changed * 1e6:.1f} us"),
            (f"a rebuild from {TASKS:,} tasks, in a thread", f"{rebuilt * 1e3:.0f} ms"),
        ],
    )


def _reports(configurations: list[Configuration], apps: int) -> dict[str, tuple[float, float]]:
    """Return the median times of update and publish of one app, by what is new about it."""
    exposition = Exposition(families(), SelfMetrics(version=__version__))
    all_aggregates = []
    for number in range(apps):
        aggregates = Aggregates(Buckets())
        for configuration in configurations:
            aggregates.add(configuration)
        exposition.update((f"app-{number}",), AppReport(replace(STATUS, app_id=f"app-{number}"), aggregates))
        all_aggregates.append(aggregates)
    exposition.publish()
    aggregates = all_aggregates[0]
    changes = itertools.cycle(itertools.pairwise(configurations))

    def nothing_but_times() -> None:
        """Leave the tasks as they are."""

    def one_task() -> None:
        before, after = next(changes)
        aggregates.remove(before)
        aggregates.add(after)

    return {
        "a time": _update_and_publish(exposition, aggregates, nothing_but_times),
        "a time and a changed task": _update_and_publish(exposition, aggregates, one_task),
    }


def _update_and_publish(
    exposition: Exposition[AppReport], aggregates: Aggregates, change: Callable[[], None]
) -> tuple[float, float]:
    """Return the median times after a change and an update that succeeded."""
    updates, publishes = [], []
    for number in range(RUNS):
        change()
        report = AppReport(_status_after(number), aggregates)
        began = time.process_time()
        exposition.update(("app-0",), report)
        updated = time.process_time()
        exposition.publish()
        updates.append(updated - began)
        publishes.append(time.process_time() - updated)
    return statistics.median(updates), statistics.median(publishes)


def _status_after(updates: int) -> Status:
    """Return an app's status after some more updates that succeeded."""
    began = 2000.0 + updates
    attempts = {**STATUS.attempts, ("update", State.OK): updates}
    return replace(STATUS, app_id="app-0", last_update_began=began, last_attempt_began=began, attempts=attempts)
