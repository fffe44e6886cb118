"""The families about what is expected of tasks: gauges of the current state, and counters of what opened and ended."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from exporter.metrics.aggregates import AppReport
from exporter.metrics.app_families import AppFamily, app_family
from exporter.metrics.family import Declaration, Kind, Label, Sample
from exporter.metrics.labels import RULE, SEVERITY
from exporter.rules.findings import RuleReport

EXAMPLE_TASK_ID: Final = Label("task_id", meaning="The TaskId.")

NO_ZEROS: Final = "Absent instead of 0."

Value = Callable[[RuleReport], float | None]  # what is said of a rule; None: nothing


def policy_families() -> tuple[AppFamily, ...]:
    """Return the families in the order of the exposition."""
    return (
        *_current_numbers(),
        _counter(
            "rtcmpu_policy_violations_opened_total",
            "Violations opened since the baseline.",
            lambda rule: rule.opened,
            note="The baseline is the first evaluation by this process. Its violations are not counted: violations = "
            "baseline + opened - resolved, per process and version of the rule. A change of the rule's expressions "
            "or severity starts a new baseline.",
        ),
        _counter(
            "rtcmpu_policy_violations_resolved_total",
            "Violations resolved since the baseline: fixed, exempted, unevaluable, or the task was removed.",
            lambda rule: rule.resolved,
            note="Missing data resolves nothing.",
        ),
        *_examples(),
    )


def _current_numbers() -> tuple[AppFamily, ...]:
    """Return the gauges with one series for each rule."""
    return (
        _gauge(
            "rtcmpu_policy_violations",
            "Listed tasks that violate the rule.",
            lambda rule: rule.violations,
            labels=(RULE, SEVERITY),
            note="0 if the rule applies to the app and no task violates it. A violated rule about the app as a whole "
            "counts 1. Exempted tasks are not counted.",
        ),
        _gauge(
            "rtcmpu_policy_evaluated_tasks",
            "Listed tasks that pass or violate the rule.",
            lambda rule: rule.evaluated or None,
            note=f"{NO_ZEROS} Evaluated, not applicable, exempted and unevaluable add up to the app's tasks, or to 1 "
            "for a rule about the app as a whole.",
        ),
        _gauge(
            "rtcmpu_policy_not_applicable_tasks",
            "Listed tasks for which the rule's `when` is false.",
            lambda rule: rule.not_applicable or None,
            note=NO_ZEROS,
        ),
        _gauge(
            "rtcmpu_policy_exempted_tasks",
            "Listed tasks that violate the rule and are exempted.",
            lambda rule: rule.exempted or None,
            note=f"{NO_ZEROS} Exempted tasks that pass are not counted.",
        ),
        _gauge(
            "rtcmpu_policy_unevaluable_tasks",
            "Listed tasks for which the rule can't be evaluated; they neither pass nor violate it.",
            lambda rule: rule.unevaluable or None,
            note=f"{NO_ZEROS} Usually the rule uses an absent field without `has()`; "
            "`/api/v1/violations?outcome=unevaluable` has the reason.",
        ),
        _gauge(
            "rtcmpu_policy_oldest_violation_timestamp_seconds",
            "Unix time at which the rule's oldest open violation was first seen.",
            lambda rule: rule.oldest_violation,
            labels=(RULE, SEVERITY),
            note="Absent if there is none. The task may have been wrong before.",
        ),
    )


def _examples() -> tuple[AppFamily, ...]:
    """Return the families that name some of the violating tasks."""
    return (
        _family(
            "rtcmpu_policy_violation_example",
            "1 for example tasks that violate the rule.",
            lambda rule: (((rule.rule, rule.severity, task_id), 1) for task_id in rule.examples),
            labels=(RULE, SEVERITY, EXAMPLE_TASK_ID),
            note="Do not count them: at most `policy.examples_per_rule` per app and rule and `policy.max_examples` in "
            "total, selected stably. `/api/v1/violations` lists all.",
        ),
        _gauge(
            "rtcmpu_policy_violation_examples_omitted",
            "Tasks that violate the rule and are not examples.",
            lambda rule: rule.examples_omitted or None,
            note=NO_ZEROS,
        ),
    )


def _gauge(
    name: str, help_text: str, value: Value, *, labels: tuple[Label, ...] = (RULE,), note: str = ""
) -> AppFamily:
    """Return a gauge with one series for each rule that there is something to say of."""
    return _family(name, help_text, lambda rule: _one(rule, value, labels), labels=labels, note=note)


def _counter(name: str, help_text: str, value: Value, *, note: str) -> AppFamily:
    """Return a counter with one series for each rule."""
    labels = (RULE, SEVERITY)
    return _family(name, help_text, lambda rule: _one(rule, value, labels), kind="counter", labels=labels, note=note)


def _one(rule: RuleReport, value: Value, labels: tuple[Label, ...]) -> Iterator[Sample]:
    """Yield the one sample of a rule, if there is any."""
    if (known := value(rule)) is not None:
        yield ((rule.rule, rule.severity) if SEVERITY in labels else (rule.rule,)), known


def _family(
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


RULE_INFO: Final = Declaration(
    name="rtcmpu_policy_rule_info",
    kind="info",
    help="An active rule; always 1.",
    labels=(
        RULE,
        SEVERITY,
        Label("title", meaning="The rule's title."),
        Label("rule_owner", meaning="The rule's owner; may be empty."),
        Label("runbook_url", meaning="The rule's runbook; may be empty."),
    ),
    note="One series per rule: default rules, rules of rule files, rules of `expect`. Join by `rule`. When a reload "
    "removes the rule, the series and the alerts about it end.",
)
EXEMPTION_EXPIRY: Final = Declaration(
    name="rtcmpu_policy_exemption_expiry_timestamp_seconds",
    kind="gauge",
    help="Unix time at which an exemption from a rule ends.",
    labels=(RULE, Label("exemption", meaning="The exemption's name.")),
    note="This is 24:00 UTC of the day `until`, also when it has passed. Absent for exemptions without an end.",
)

RULE_FAMILIES: Final = (RULE_INFO, EXEMPTION_EXPIRY)  # in the order of the exposition
