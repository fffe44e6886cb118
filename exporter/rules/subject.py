"""One task as rules see it."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import chain, repeat
from math import inf
from typing import Any

from exporter.collector.inventory import Entry
from exporter.config.model import App
from exporter.core.push_auth import DEFAULTS, NO_TIME, Expiry, PushAuthSettings, doubtful_from
from exporter.core.task import Configuration, Task, signed_times
from exporter.rules.cel_language import Activation, activation_of
from exporter.rules.cost import KEY_FACTS
from exporter.rules.facts import PushKey, facts, fit, with_push_keys, without_long_lists
from exporter.rules.rule_set import expectation_facts


class Subject:
    """A task at one moment, with the variables of rules; what is dear is made when it is first used.

    The callables count what other tasks share; `app` is what `app_facts` returns, `now` is in wall-clock seconds.
    """

    def __init__(
        self,
        entry: Entry,
        app: Mapping[str, Any],
        *,
        now: float,
        shared_outputs: Callable[[Task], int],
        cdn_flag_conflicts: Callable[[Task], int] = lambda _: 0,
        push_auth: PushAuthSettings = DEFAULTS,
    ) -> None:
        self.entry = entry
        self._app = app
        self._count_shared_outputs = shared_outputs
        self._count_cdn_flag_conflicts = cdn_flag_conflicts
        self._push_auth = push_auth
        self._activations: dict[bool, tuple[frozenset[str], Activation]] = {}
        self.seconds = now

    @cached_property
    def whole_task(self) -> Task:
        """The task with all that is its own."""
        return self.entry.task

    @property
    def configuration(self) -> Configuration:
        """What the task shares with those that are set up alike."""
        return self.entry.configuration

    @cached_property
    def task(self) -> Mapping[str, Any]:
        """How it is configured."""
        task = facts(self.configuration)
        if self._push_auth.hosts:
            task["outputs"] = [
                {**shown, "signer": self._push_auth.signer(output.signer, output.host)}
                for shown, output in zip(task["outputs"], self.configuration.outputs, strict=True)
            ]
        return without_long_lists(task)

    @cached_property
    def _expiries(self) -> list[tuple[Expiry, int | None]]:
        """Return when each key expires, and from when on one whose expiry is not known may have expired."""
        times = chain(signed_times(self.entry.push_times), repeat(NO_TIME))
        expiries = [
            (self._push_auth.expiry(output.signer, output.host, time), time)
            for output, time in zip(self.configuration.outputs, times, strict=False)
        ]
        return [(expiry, doubtful_from(expiry, time)) for expiry, time in expiries]

    @cached_property
    def push_keys(self) -> tuple[PushKey, ...]:
        """What is known of the key of each output."""
        first_seen, start_known = self.entry.first_seen, self.entry.start_known
        return tuple(
            PushKey(
                self._push_auth.state(expiry, self.seconds),
                expiry.at or None,
                expired_at_start=start_known and 0 < expiry.at <= first_seen,
                signer=expiry.signer,
                may_have_expired=doubtful is not None and self.seconds >= doubtful,
            )
            for expiry, doubtful in self._expiries
        )

    @property
    def next_key_change(self) -> float:
        """When a push key of the task has another state, in wall-clock seconds; inf: never."""
        changes = [self._push_auth.next_change(expiry, self.seconds) for expiry, _ in self._expiries]
        changes += [doubtful for _, doubtful in self._expiries if doubtful is not None and doubtful > self.seconds]
        return min((change for change in changes if change is not None), default=inf)

    @property
    def push_states(self) -> tuple[tuple[str, bool, bool], ...]:
        """What decides about rules on push keys, equal for many tasks."""
        return tuple([(key.state, key.expired_at_start, key.may_have_expired) for key in self.push_keys])

    @cached_property
    def shared_outputs(self) -> int:
        """How many of its URLs another task uses too."""
        return self._count_shared_outputs(self.whole_task)

    @cached_property
    def cdn_flag_conflicts(self) -> int:
        """How many of its hosts another task flags otherwise."""
        return self._count_cdn_flag_conflicts(self.whole_task)

    def _variable(self, name: str) -> Any:
        match name:
            case "task_id" | "channel_id":
                return getattr(self.entry, name)
            case "first_seen" | "last_changed":
                return datetime.fromtimestamp(getattr(self.entry, name), UTC)
            case "age":
                return timedelta(seconds=self.seconds - self.entry.first_seen)
            case "now":
                return datetime.fromtimestamp(self.seconds, UTC)
            case "app":
                return self._app
        return getattr(self, name)

    def activation(self, names: Collection[str]) -> Activation:
        """Return what an expression with these variables is evaluated against, made once: that is dear."""
        has_keys = not _KEY_FACTS.isdisjoint(names)  # an expression without may compare whole outputs: no keys in them
        made = self._activations.get(has_keys)
        if made is None or not made[0].issuperset(names):
            variables = {name: self._variable(name) for name in names if name not in _KEY_FACTS}
            if has_keys and "outputs" in self.task:
                variables["task"] = with_push_keys(self.task, self.push_keys)
            made = self._activations[has_keys] = frozenset(names), activation_of(variables)
        return made[1]


_KEY_FACTS = frozenset(KEY_FACTS.values())


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
