"""Keeps one app's findings in step with its tasks."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from math import inf
from typing import Any, Final

from msgspec import Struct, json

from exporter.collector.inventory import Change, Entry, Inventory
from exporter.config.model import App
from exporter.core.clock import Clock, Deadlines
from exporter.core.push_auth import DEFAULTS, PushAuthSettings
from exporter.core.task import Task
from exporter.rules.evaluator import Evaluator, Scope, SharedEvaluations
from exporter.rules.facts import PushKey
from exporter.rules.findings import AnyRule, CountedFindings, FindingEvents, PolicyReport, RuleFindings
from exporter.rules.rule import CODES, OUTCOMES, UNKNOWN, AppKey, Outcome, Severity, TaskCountRule, nothing_known
from exporter.rules.rule_set import AppRules
from exporter.rules.shared_outputs import SharedOutputs
from exporter.rules.subject import Subject, app_facts
from exporter.rules.syntax_tree import passed

TIME_INTERVAL_SECONDS: Final = 60.0  # how often it is looked which tasks time concerns
MOST_SHARED: Final = 8192


class Common(Struct):
    """What the policies of all apps have in common."""

    clock: Clock
    events: FindingEvents
    evaluations: SharedEvaluations
    revisions: Iterator[int]
    push_auth: PushAuthSettings = DEFAULTS
    shared_outputs: SharedOutputs | None = None  # None: no rule uses them


class _Evaluated(Struct, gc=False):
    entry: Entry  # whose outputs other tasks see
    outcomes: bytes
    key_change: float = inf  # when a push key has another state, in wall-clock seconds; inf: never


class Backlog:
    """The tasks of one app that are to be evaluated; those that changed come first."""

    def __init__(self) -> None:
        self._marked: dict[str, Scope] = {}
        self._changed: deque[str] = deque()
        self._reviewed: dict[str, Scope] = {}

    def __bool__(self) -> bool:
        return self.has_changes or bool(self._reviewed)

    @property
    def has_changes(self) -> bool:
        """Whether some tasks are not as they were when they were evaluated."""
        return bool(self._marked or self._changed)

    @property
    def next_tasks(self) -> int:
        """How many tasks come next: those that changed, or else those that are looked at again."""
        return len(self._marked) + len(self._changed) or len(self._reviewed)

    def mark(self, task_id: str, scope: Scope) -> None:
        """Note one task."""
        self._marked[task_id] = max(scope, self._marked.get(task_id, scope))

    def add_changed(self, task_ids: Iterable[str]) -> None:
        """Note tasks that may have changed."""
        self._changed.extend(task_ids)

    def review(self, task_ids: Iterable[str], scope: Scope) -> None:
        """Note tasks that are to be looked at again."""
        further = {task_id: before for task_id, before in self._reviewed.items() if before > scope}
        self._reviewed.update(dict.fromkeys(task_ids, scope))
        self._reviewed.update(further)

    def take(self) -> tuple[str, Scope]:
        """Return the next task, and how far it is to be evaluated; raises KeyError if nothing is left."""
        if self._changed and not self._marked:
            return self._changed.popleft(), Scope.ALL
        return (self._marked or self._reviewed).popitem()


class AppPolicy:
    """Evaluates the tasks of one app, one at a time. While its data is not available, findings stay as they are."""

    def __init__(self, key: AppKey, common: Common) -> None:
        self.key = key
        self.report: PolicyReport | None = None  # the last complete one; None: not all tasks have been evaluated yet
        self.backlog = Backlog()
        self.available = False  # whether there is data to evaluate
        self._common = common
        self._app: App | None = None
        self._facts: Mapping[str, Any] = {}
        self._inventory = Inventory()
        self._rules = AppRules()
        self._evaluator = Evaluator((), None, common.evaluations)
        self._places: dict[str, int] = {}  # of the outcomes of each rule, by its name
        self.counted = CountedFindings(key, common.events)
        self._evaluated: dict[str, _Evaluated] = {}
        self._is_concluded = False
        self._seen_now = self._due_until = common.clock.now()  # by rules about the time tasks are as of `_due_until`
        self._minute_began = common.clock.monotonic()
        self._minute_ends = self._seen_now + TIME_INTERVAL_SECONDS  # by the wall clock, which may jump
        self._key_changes: Deadlines[str] = Deadlines()  # those until `_minute_ends`
        self._ended = 0  # how many exemptions had ended when tasks were last evaluated by them

    @property
    def inventory(self) -> Inventory:
        """The tasks that it evaluates."""
        return self._inventory

    @property
    def has_work(self) -> bool:
        """Whether there is something to evaluate, or something that is evaluated to conclude."""
        return self.available and (bool(self.backlog) or not self._is_concluded)

    def configure(self, app: App, inventory: Inventory, rules: AppRules, *, whole: bool) -> None:
        """Take on other rules, settings or inventory, whose baseline findings wait for; `whole`: evaluate all again."""
        if inventory is not self._inventory:
            if self.report is None:
                unknown = nothing_known(len(self._evaluator.rules))
                for task_id in [each for each, noted in self._evaluated.items() if noted.outcomes == unknown]:
                    self._forget(task_id)
            self._inventory, self.available, self.backlog = inventory, False, Backlog()
            self.backlog.add_changed(entry.task_id for entry in inventory)
        is_same = app == self._app and rules.all_rules() == self._rules.all_rules()
        self._app, self._facts, self._rules = app, app_facts(self.key[0], app), rules
        rules_before = len(self._evaluator.rules)
        whole = whole or any(rule.is_stopped for rule in self._evaluator.rules)
        self._evaluator = Evaluator(rules.rules, json.encode(self._facts), self._common.evaluations)
        self._places = {rule.rule.name: place for place, rule in enumerate(self._evaluator.rules)}
        places = self.counted.set_rules(self._evaluator.rules, rules.count, order=rules.rules)
        self._lay_out(places, rules_before=rules_before)
        if whole or not is_same:
            self._ended = self._evaluator.ended_exemptions(self._common.clock.now())
            self.backlog.review(self._evaluated, Scope.ALL)
        self._is_concluded = False

    def collected(self, changes: Sequence[Change], *, baseline: bool, available: bool) -> None:
        """Take note of changes in the inventory; without available data no tasks are evaluated."""
        self.available = available
        if baseline:
            self.backlog.add_changed(self._evaluated)
        self.backlog.add_changed(change.task_id for change in changes)
        self._look_at_exemptions()

    def look_at_time(self) -> None:
        """Take note that time has passed."""
        at, now = self._common.clock.monotonic(), self._common.clock.now()
        has_stepped_back, self._seen_now = now < self._seen_now, now
        if has_stepped_back:
            self.backlog.review(self._evaluated, Scope.RELATIONS)
        if has_stepped_back or now >= self._minute_ends or at - self._minute_began >= TIME_INTERVAL_SECONDS:
            self._minute_began, self._minute_ends = at, now + TIME_INTERVAL_SECONDS
            if self._evaluator.limits:
                due = passed(self._evaluator.limits, self._inventory, after=self._due_until, until=now)
                self.backlog.review(due, Scope.TIME)
            self._due_until = now
            for task_id, evaluated in self._evaluated.items():
                if evaluated.key_change < self._minute_ends:
                    self._key_changes.set(task_id, evaluated.key_change)
        for task_id in self._key_changes.take_due(now):
            self.backlog.mark(task_id, Scope.RELATIONS)
        self._look_at_exemptions()

    def note_outputs(self, task_id: str) -> None:
        """Let other tasks see what a task pushes to before it is evaluated."""
        entry = self._inventory.get(task_id)
        if entry is not None and task_id not in self._evaluated:
            self._note(entry, entry.task)

    def step(self) -> None:
        """Evaluate the next task of the backlog, in which it stays where that fails."""
        task_id, scope = self.backlog.take()
        known, entry = self._evaluated.get(task_id), self._inventory.get(task_id)
        if entry is not None and (known is None or known.entry is not entry):
            scope = Scope.ALL
        try:
            if entry is None:
                self._forget(task_id)
            elif not self._evaluate(self._subject(entry), scope):
                self.backlog.mark(task_id, scope)
        except Exception:
            self.backlog.mark(task_id, scope)
            raise

    def conclude(self) -> None:
        """Evaluate the number of tasks, and let all rules count events where nothing is left to evaluate."""
        self.counted.record_number(len(self._evaluated), now=self._common.clock.now(), text=partial(self._text, None))
        if not self.backlog:
            self._is_concluded = True
            violations = self.counted.settle()
            if violations is not None:
                self._common.events.baseline(self.key, violations)

    def renew_report(self, examples: Callable[[Severity], int]) -> bool:
        """Bring the report up to date; returns whether it is another one now."""
        if self.report is None and self.backlog:
            return False
        rules = self.counted.reports(examples)
        if self.report is not None and self.report.rules == rules:
            return False
        self.report = PolicyReport(next(self._common.revisions), rules)
        return True

    def findings(self) -> Iterator[RuleFindings]:
        """Yield what each rule by which all tasks were evaluated says, to be read before the event loop runs again."""
        return self.counted.settled()

    def tasks_with(self, outcome: Outcome, rule: AnyRule) -> Iterator[str]:
        """Yield the TaskIds for which a rule has an outcome; looks at all tasks."""
        place = self._places.get(rule.rule.name)
        if place is not None:
            for task_id, evaluated in self._evaluated.items():
                if evaluated.outcomes[place] == CODES[outcome]:
                    yield task_id

    def outcome(self, rule: AnyRule, task_id: str) -> Outcome | None:
        """Return what has come of a rule for one task; None: it was not evaluated by it."""
        place, evaluated = self._places.get(rule.rule.name), self._evaluated.get(task_id)
        if place is None or evaluated is None or evaluated.outcomes[place] == UNKNOWN:
            return None
        return OUTCOMES[evaluated.outcomes[place]]

    def text(self, rule: AnyRule, task_id: str) -> str:
        """Return one line for people about a violation of a task, or (an empty TaskId) of the app as a whole."""
        entry = self._inventory.get(task_id)
        return self._text(None if entry is None else self._subject(entry), rule)

    def reason(self, rule: AnyRule, task_id: str) -> str:
        """Return why a rule can't be evaluated for a task; empty where it can."""
        entry = self._inventory.get(task_id)
        if entry is None or isinstance(rule, TaskCountRule):
            return ""
        return rule.evaluate(self._subject(entry).activation(rule.uses)).reason

    def push_keys(self, entry: Entry) -> tuple[PushKey, ...]:
        """Return what is known now of the key of each output of a task."""
        return self._subject(entry).push_keys

    def _look_at_exemptions(self) -> None:
        """Take note of exemptions that have ended or, after a step of the clock, hold again."""
        ended, before = self._evaluator.ended_exemptions(self._common.clock.now()), self._ended
        self._ended = ended
        if ended != before:
            self.backlog.review(self._evaluated, Scope.EXEMPTIONS)

    def _lay_out(self, places: Sequence[int | None], *, rules_before: int) -> None:
        if list(places) == list(range(rules_before)):
            return
        moved: dict[bytes, bytes] = {}
        for evaluated in self._evaluated.values():
            before = evaluated.outcomes
            if before not in moved:
                moved[before] = bytes(UNKNOWN if place is None else before[place] for place in places)
            evaluated.outcomes = moved[before]

    def _note(self, entry: Entry, task: Task) -> _Evaluated:
        known = self._evaluated.get(entry.task_id)
        if self._common.shared_outputs is not None:
            before = None if known is None else known.entry.task
            self._common.shared_outputs.replace(self.key, entry.task_id, before, task)
        if known is None:
            known = self._evaluated[entry.task_id] = _Evaluated(entry, nothing_known(len(self._evaluator.rules)))
        known.entry = entry
        return known

    def _evaluate(self, subject: Subject, scope: Scope) -> bool:
        """Evaluate a task; return whether it is done, or the rest is left for another turn of the event loop."""
        task_id = subject.entry.task_id
        noted = self._note(subject.entry, subject.whole_task) if scope is Scope.ALL else self._evaluated[task_id]
        before = noted.outcomes
        after = self._evaluator.outcomes(subject, before, scope)
        if after is None:
            return False
        self._due_until = min(self._due_until, subject.seconds)  # the clock may have stepped back
        noted.key_change = subject.next_key_change if self._evaluator.depends_on_push_keys else inf
        self._key_changes.set(task_id, noted.key_change if noted.key_change < self._minute_ends else None)
        if after != before:
            noted.outcomes = _shared(after)
            self.counted.record(task_id, before, after, now=subject.seconds, text=partial(self._text, subject))
        return True

    def _forget(self, task_id: str) -> None:
        known = self._evaluated.pop(task_id, None)
        if known is None:
            return
        self._key_changes.set(task_id, None)
        if self._common.shared_outputs is not None:
            self._common.shared_outputs.replace(self.key, task_id, known.entry.task, None)
        nothing, now = nothing_known(len(known.outcomes)), self._common.clock.now()
        self.counted.record(task_id, known.outcomes, nothing, now=now, text=partial(self._text, None))

    def _text(self, subject: Subject | None, rule: AnyRule) -> str:
        if isinstance(rule, TaskCountRule):
            return rule.text_for(len(self._evaluated) or len(self._inventory))
        if subject is None or rule.message is None:
            return rule.rule.title
        return rule.text_for(subject.activation(rule.message.uses))

    def _subject(self, entry: Entry) -> Subject:
        shared = self._common.shared_outputs
        return Subject(
            entry,
            self._facts,
            now=self._common.clock.now(),
            shared_outputs=_none if shared is None else partial(shared.count, self.key),
            cdn_flag_conflicts=_none if shared is None else partial(shared.count_flag_conflicts, self.key),
            push_auth=self._common.push_auth,
        )


def _none(_task: Task) -> int:
    return 0


# Tasks with the same outcomes share them.
@lru_cache(maxsize=MOST_SHARED)
def _shared(outcomes: bytes) -> bytes:
    return outcomes
