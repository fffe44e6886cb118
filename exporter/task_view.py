"""What the web side is given to show of tasks."""

from collections.abc import Callable, Iterable, Mapping

from exporter.collect.collector import Collector
from exporter.policy.finding_events import AppKey
from exporter.web.view import TaskFinding, TasksView, TaskView


class TaskViews:
    """Answers the tasks' part of the web's `View`.

    Args:
        collectors: Those of all apps, as they are now.
        findings: Returns what has come of each rule for one task.
    """

    def __init__(
        self,
        collectors: Callable[[], Mapping[AppKey, Collector]],
        findings: Callable[[AppKey, str], Iterable[TaskFinding]],
    ) -> None:
        self._collectors = collectors
        self._findings = findings

    def tasks(self, account: str, app_id: str) -> TasksView | None:
        """Return the tasks of one app; None: there is no such app."""
        collector = self._collectors().get((account, app_id))
        return None if collector is None else TasksView(collector.status, tuple(collector.inventory))

    def task(self, account: str, app_id: str, task_id: str) -> TaskView | None:
        """Return one task; None: it is not known, or there is no such app."""
        key = (account, app_id)
        collector = self._collectors().get(key)
        entry = None if collector is None else collector.inventory.get(task_id)
        if collector is None or entry is None:
            return None
        return TaskView(collector.status, entry, tuple(self._findings(key, task_id)))
