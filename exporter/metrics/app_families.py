"""The families about an app's collection, always published, and about the changes and violations of its tasks."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from typing import Any, Final

from exporter.collector.status import Status
from exporter.collector.task_diff import FIELD_GROUPS, KINDS
from exporter.core.collection_state import State
from exporter.core.task import MIXED, SINGLE
from exporter.metrics.aggregates import AppReport
from exporter.metrics.family import Family, Kind, Label, Sample
from exporter.metrics.labels import ACCOUNT, APP_ID, KIND, OUTCOME, QUOTA_MODE, RULE, SEVERITY, STATE, TASK_ID
from exporter.rules.findings import RuleReport

AppFamily = Family[AppReport]


def app_family(
    name: str,
    help_text: str,
    samples: Callable[[AppReport], Iterable[Sample]],
    *,
    kind: Kind = "gauge",
    labels: tuple[Label, ...] = (),
    **more: Any,
) -> AppFamily:
    """Return a family whose labels, and the samples' values, follow account and app_id."""

    def of_app(report: AppReport) -> Iterator[Sample]:
        app = (report.status.account, report.status.app_id)
        for values, value in samples(report):
            yield (*app, *values), value

    return AppFamily(name=name, kind=kind, help=help_text, labels=(ACCOUNT, APP_ID, *labels), samples=of_app, **more)


def _of_status(name: str, help_text: str, samples: Callable[[Status], Iterable[Sample]], **more: Any) -> AppFamily:
    return app_family(
        name,
        help_text,
        lambda report: samples(report.status),
        # They are few, and mostly as they were: to find them costs less than to render them.
        version=lambda report: tuple(samples(report.status)),
        **more,
    )


def _number(
    name: str, help_text: str, value: Callable[[Status], float | None], *, kind: Kind = "gauge", note: str = ""
) -> AppFamily:
    def samples(status: Status) -> Iterator[Sample]:
        if (known := value(status)) is not None:
            yield (), known

    return _of_status(name, help_text, samples, kind=kind, note=note)


def _counted(report: AppReport, counts: Mapping[str, int], values: tuple[str, ...]) -> Iterator[Sample]:
    if report.status.sweep is not None:
        for value in values:
            yield (value,), counts.get(value, 0)


_OfRule = Callable[[RuleReport], float | None]  # what is said of a rule; None: nothing


def _rule_number(
    name: str,
    help_text: str,
    value: _OfRule,
    *,
    kind: Kind = "gauge",
    labels: tuple[Label, ...] = (RULE,),
    note: str = "",
) -> AppFamily:
    def samples(rule: RuleReport) -> Iterator[Sample]:
        if (known := value(rule)) is not None:
            yield (rule.rule, rule.severity)[: len(labels)], known

    return _rule_family(name, help_text, samples, kind=kind, labels=labels, note=note)


def _rule_family(
    name: str, help_text: str, samples: Callable[[RuleReport], Iterable[Sample]], *, kind: Kind = "gauge", **more: Any
) -> AppFamily:
    """Return a family that the policy's report decides: a counter always, a gauge while there is data."""

    def shown(report: AppReport) -> bool:
        return kind == "counter" or report.status.data_available

    def of_rules(report: AppReport) -> Iterator[Sample]:
        if report.policy is not None and shown(report):
            for rule in report.policy.rules:
                yield from samples(rule)

    return app_family(
        name,
        help_text,
        of_rules,
        kind=kind,
        version=lambda report: (shown(report), None if report.policy is None else report.policy.revision),
        **more,
    )


APP_FAMILIES: Final[tuple[AppFamily, ...]] = (
    _number(
        "rtcmpu_up",
        "1 if there is an accepted sweep and the last update and the last sweep both succeeded, else 0.",
        lambda status: status.up,
    ),
    _of_status(
        "rtcmpu_collection_state",
        "1 for the current state of the app's collection, 0 for all others.",
        lambda status: [((state,), state is status.state) for state in State],
        labels=(STATE,),
        note="It is the worse one of the last update and the last sweep.",
    ),
    _number(
        "rtcmpu_collection_data_available",
        "1 while the app's task metrics are published, 0 while they are withdrawn.",
        lambda status: status.data_available,
    ),
    _number(
        "rtcmpu_collection_last_update_timestamp_seconds",
        "Unix time at which the last successful update began.",
        lambda status: status.last_update_began,
    ),
    _number(
        "rtcmpu_collection_last_sweep_timestamp_seconds",
        "Unix time at which the last accepted sweep began.",
        lambda status: status.last_sweep_began,
    ),
    _number(
        "rtcmpu_collection_last_attempt_timestamp_seconds",
        "Unix time at which the last attempted update or sweep began.",
        lambda status: status.last_attempt_began,
    ),
    _number(
        "rtcmpu_collection_interval_seconds",
        "Effective interval between updates of the app, stretched if the request budget is too small.",
        lambda status: status.interval_seconds,
    ),
    _number(
        "rtcmpu_collection_sweep_interval_seconds",
        "Effective interval between sweeps of the app, stretched if the request budget is too small.",
        lambda status: status.sweep_interval_seconds,
    ),
    _number(
        "rtcmpu_collection_stale_after_seconds",
        "Effective age of the last accepted sweep at which the app's data is withdrawn.",
        lambda status: status.stale_after_seconds,
    ),
    _number(
        "rtcmpu_collection_interval_stretch_ratio",
        "Effective intervals divided by the configured ones; 1 if the request budget suffices.",
        lambda status: status.interval_stretch_ratio,
    ),
    _of_status(
        "rtcmpu_collection_attempts_total",
        "Attempted updates and sweeps since the start, by outcome.",
        lambda status: [
            ((kind, outcome), status.attempts.get((kind, State(outcome)), 0))
            for kind, outcome in product(KIND.values, OUTCOME.values)
        ],
        kind="counter",
        labels=(KIND, OUTCOME),
    ),
    _number(
        "rtcmpu_collection_duration_seconds",
        "Duration of the last accepted sweep, in seconds.",
        lambda status: None if status.sweep is None else status.sweep.duration_seconds,
    ),
    _number(
        "rtcmpu_collection_requests",
        "Requests sent by the last accepted sweep.",
        lambda status: None if status.sweep is None else status.sweep.requests,
    ),
    _number(
        "rtcmpu_collection_repaired_tasks",
        "Tasks that the last accepted sweep first missed because the list moved, and then found.",
        lambda status: None if status.sweep is None else status.sweep.repaired_tasks,
    ),
    _number(
        "rtcmpu_collection_duplicate_rows",
        "Rows that the last accepted sweep read more than once because the list moved.",
        lambda status: None if status.sweep is None else status.sweep.duplicate_rows,
    ),
    _number(
        "rtcmpu_collection_unmoved_changes",
        "Changed tasks that the last accepted sweep found below the front of the list.",
        lambda status: None if status.sweep is None else status.sweep.unmoved_changes,
        note="Above 0, some changes show with the next sweep only.",
    ),
    _number(
        "rtcmpu_collection_doubtful_tasks",
        "Known tasks missing from the list whose removal no lookup has confirmed yet; they still count as listed.",
        lambda status: None if status.sweep is None else status.doubtful_tasks,
    ),
    _number(
        "rtcmpu_collection_repairs_total",
        "Tasks that sweeps first missed because the list moved, and then found, since the start.",
        lambda status: status.repairs,
        kind="counter",
    ),
    _number(
        "rtcmpu_collection_duplicates_seen_total",
        "Rows that sweeps read more than once because the list moved, since the start.",
        lambda status: status.duplicates_seen,
        kind="counter",
    ),
    _of_status(
        "rtcmpu_app_info",
        "Name and owner of the app from the configuration; always 1.",
        lambda status: [((status.name, status.owner), 1)],
        kind="info",
        labels=(
            Label("name", meaning="The app's name; may be empty."),
            Label("owner", meaning="The app's owner; may be empty."),
        ),
    ),
    _of_status(
        "rtcmpu_task_quota",
        "Configured maximum number of tasks of a mode.",
        lambda status: [
            ((mode,), quota)
            for mode, quota in ((SINGLE, status.quota_single), (MIXED, status.quota_mixed))
            if quota is not None
        ],
        labels=(QUOTA_MODE,),
        note="Absent if not configured.",
    ),
)

CHANGE_FAMILIES: Final[tuple[AppFamily, ...]] = (
    app_family(
        "rtcmpu_task_changes_total",
        "Tasks added, removed or modified since the baseline.",
        lambda report: _counted(report, report.changes.by_kind, KINDS),
        kind="counter",
        labels=(Label("change", KINDS, "Kind of the change."),),
    ),
    app_family(
        "rtcmpu_task_field_changes_total",
        "Modified tasks since the baseline, by changed field group; a task counts once per group.",
        lambda report: _counted(report, report.changes.by_field, FIELD_GROUPS),
        kind="counter",
        labels=(Label("field", FIELD_GROUPS, "Group of fields."),),
        note="`other`: fields that the exporter does not know.",
    ),
)

POLICY_FAMILIES: Final[tuple[AppFamily, ...]] = (
    _rule_number(
        "rtcmpu_policy_violations",
        "Listed tasks that violate the rule.",
        lambda rule: rule.violations,
        labels=(RULE, SEVERITY),
        note="A violated rule about the app as a whole counts 1. Exempted tasks are not counted.",
    ),
    _rule_number(
        "rtcmpu_policy_evaluated_tasks",
        "Listed tasks that pass or violate the rule.",
        lambda rule: rule.evaluated or None,
        note="Evaluated, not applicable, exempted and unevaluable add up to the app's tasks.",
    ),
    _rule_number(
        "rtcmpu_policy_not_applicable_tasks",
        "Listed tasks for which the rule's `when` is false.",
        lambda rule: rule.not_applicable or None,
    ),
    _rule_number(
        "rtcmpu_policy_exempted_tasks",
        "Listed tasks that violate the rule and are exempted.",
        lambda rule: rule.exempted or None,
        note="Exempted tasks that pass are not counted.",
    ),
    _rule_number(
        "rtcmpu_policy_unevaluable_tasks",
        "Listed tasks for which the rule can't be evaluated; they neither pass nor violate it.",
        lambda rule: rule.unevaluable or None,
        note="`/api/v1/violations?outcome=unevaluable` has the reason.",
    ),
    _rule_number(
        "rtcmpu_policy_oldest_violation_timestamp_seconds",
        "Unix time at which the rule's oldest open violation was first seen.",
        lambda rule: rule.oldest_violation,
        labels=(RULE, SEVERITY),
    ),
    _rule_number(
        "rtcmpu_policy_violations_opened_total",
        "Violations opened since the baseline.",
        lambda rule: rule.opened,
        kind="counter",
        labels=(RULE, SEVERITY),
        note="The baseline is the first evaluation by this process, and by a changed version of the rule: violations = "
        "baseline + opened - resolved.",
    ),
    _rule_number(
        "rtcmpu_policy_violations_resolved_total",
        "Violations resolved since the baseline: fixed, exempted, unevaluable, or the task was removed.",
        lambda rule: rule.resolved,
        kind="counter",
        labels=(RULE, SEVERITY),
        note="Missing data resolves nothing.",
    ),
    _rule_family(
        "rtcmpu_policy_violation_example",
        "1 for example tasks that violate the rule.",
        lambda rule: (((rule.rule, rule.severity, task_id), 1) for task_id in rule.examples),
        labels=(RULE, SEVERITY, TASK_ID),
        note="Do not count them: their number is limited by `policy.examples_per_rule` and `policy.max_examples`.",
    ),
    _rule_number(
        "rtcmpu_policy_violation_examples_omitted",
        "Tasks that violate the rule and are not examples.",
        lambda rule: rule.examples_omitted or None,
    ),
)
