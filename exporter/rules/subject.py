"""One task as rules see it."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from exporter.collector.inventory import Entry
from exporter.config.model import App
from exporter.core.task import Configuration, Task
from exporter.rules.cel_language import Activation, Language
from exporter.rules.expectations import expectation_facts
from exporter.rules.facts import facts, fit, without_long_lists


class Subject:
    """A task at one moment; its properties are the variables of rules, each made when it is first asked for.

    Args:
        entry: The task.
        app: What `app_facts` returns of its app.
        now: Wall-clock seconds.
        shared_outputs: Counts how many of a task's URLs another one uses too.
        language: Of the rules.
    """

    def __init__(
        self,
        entry: Entry,
        app: Mapping[str, Any],
        *,
        now: float,
        shared_outputs: Callable[[Task], int],
        language: Language,
    ) -> None:
        self._entry = entry
        self._app = app
        self._count_shared_outputs = shared_outputs
        self._language = language
        self.seconds = now

    @property
    def whole_task(self) -> Task:
        """The task with all that is its own."""
        return self._entry.task

    @property
    def configuration(self) -> Configuration:
        """What the task shares with those that are set up alike."""
        return self._entry.task.configuration

    @cached_property
    def task(self) -> Mapping[str, Any]:
        """How it is configured."""
        return without_long_lists(facts(self.configuration))

    @property
    def task_id(self) -> str:
        """The TaskId."""
        return self._entry.task.task_id

    @property
    def channel_id(self) -> str:
        """The ChannelId."""
        return self._entry.task.channel_id

    @property
    def first_seen(self) -> datetime:
        """When it was first seen."""
        return datetime.fromtimestamp(self._entry.first_seen, UTC)

    @property
    def last_changed(self) -> datetime:
        """When it was last seen to change."""
        return datetime.fromtimestamp(self._entry.last_changed, UTC)

    @property
    def age(self) -> timedelta:
        """How long it has been known."""
        return timedelta(seconds=self.seconds - self._entry.first_seen)

    @property
    def now(self) -> datetime:
        """The moment."""
        return datetime.fromtimestamp(self.seconds, UTC)

    @cached_property
    def shared_outputs(self) -> int:
        """How many of its URLs another task uses too."""
        return self._count_shared_outputs(self._entry.task)

    @property
    def app(self) -> Mapping[str, Any]:
        """Its app."""
        return self._app

    def activation(self, names: Collection[str]) -> Activation:
        """Return what an expression that uses these variables is evaluated against."""
        return self._language.activation({name: getattr(self, name) for name in names})


def app_facts(account: str, app: App) -> Mapping[str, Any]:
    """Return what rules see of an app."""
    quota = {"single": app.quota.single, "mixed": app.quota.mixed}
    return {
        "id": app.id,
        "name": fit(app.name),
        "owner": fit(app.owner),
        "account": account,
        "quota": {mode: tasks for mode, tasks in quota.items() if tasks is not None},
        "expect": {} if app.expect is None else expectation_facts(app.expect),
    }
