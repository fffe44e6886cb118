"""What is said of one task: in the words of the rules' vocabulary, which has no URL paths, user ids or payloads."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final, TypedDict

import msgspec

from exporter.collect.inventory import Entry
from exporter.collect.status import Status
from exporter.policy.facts import facts
from exporter.policy.rule import Outcome, Severity
from exporter.policy.vocabulary import TaskFacts
from exporter.task import Configuration
from exporter.web.api.describing import about
from exporter.web.view import TaskFinding, TaskView

MOST_PARTS: Final = 100
"""So many outputs, panes and user streams of one task are shown: more than any service takes."""


class OmittedDocument(TypedDict):
    """How many parts of a task's configuration are not shown."""

    outputs: Annotated[int, about("Outputs.")]
    panes: Annotated[int, about("Panes.")]
    user_streams: Annotated[int, about("User streams.")]


class TaskDocument(TypedDict):
    """One task as it is configured. The list that it comes from does not say whether a task runs."""

    account: Annotated[str, about("The account's name.")]
    app_id: Annotated[str, about("The AppId.")]
    task_id: Annotated[str, about("The TaskId.")]
    channel_id: Annotated[str, about("The ChannelId; empty where there is none.")]
    configuration: Annotated[TaskFacts, about("How it is configured; what is absent is null.")]
    omitted: Annotated[OmittedDocument, about(f"What is not shown beyond {MOST_PARTS} parts of a kind.")]
    first_seen_timestamp_seconds: Annotated[float, about("When it was first seen, in seconds since 1970.")]
    last_changed_timestamp_seconds: Annotated[
        float, about("When its configuration was last seen to change, in seconds since 1970.")
    ]
    violations: Annotated[list[str], about("The names of the rules that it violates, sorted.")]
    data_available: Annotated[bool, about("False: as of the last good data, which is too old to be relied upon.")]


class TaskFindingDocument(TypedDict):
    """What has come of one rule for a task."""

    rule: Annotated[str, about("The rule's name.")]
    severity: Annotated[Severity, about("The rule's severity.")]
    title: Annotated[str, about("What the rule expects, in a few words.")]
    outcome: Annotated[Outcome, about("What has come of it.")]
    since_timestamp_seconds: Annotated[
        float | None, about("Since when a violation is seen, in seconds since 1970; null for other outcomes.")
    ]
    message: Annotated[str | None, about("What is wrong, in one line.")]
    exemption: Annotated[str | None, about("The name of the exemption, of an exempted one.")]
    reason: Annotated[str | None, about("Why the rule can't be evaluated, of one that can't.")]


class TaskWithFindingsDocument(TaskDocument):
    """One task, and what its rules say about it."""

    findings: Annotated[list[TaskFindingDocument], about("Of every rule that it was judged by.")]


def task_document(status: Status, entry: Entry, violations: Iterable[str]) -> TaskDocument:
    """Return what is said of a task.

    Args:
        status: Of its app.
        entry: The task.
        violations: The names of the rules that it violates.
    """
    task, configuration = entry.task, entry.task.configuration
    return {
        "account": status.account,
        "app_id": status.app_id,
        "task_id": task.task_id,
        "channel_id": task.channel_id,
        "configuration": _configuration(configuration),
        "omitted": {
            "outputs": _omitted(configuration.outputs),
            "panes": _omitted(configuration.panes),
            "user_streams": _omitted(configuration.user_streams),
        },
        "first_seen_timestamp_seconds": entry.first_seen,
        "last_changed_timestamp_seconds": entry.last_changed,
        "violations": sorted(violations),
        "data_available": status.data_available,
    }


def task_with_findings_document(view: TaskView) -> TaskWithFindingsDocument:
    """Return what is said of a task, and all that its rules say about it."""
    violations = (finding.rule.name for finding in view.findings if finding.outcome is Outcome.VIOLATION)
    return {
        **task_document(view.status, view.entry, violations),
        "findings": [_finding(finding) for finding in view.findings],
    }


def _configuration(configuration: Configuration) -> TaskFacts:
    shown = facts(configuration)
    for parts in ("outputs", "panes", "user_streams"):
        shown[parts] = shown[parts][:MOST_PARTS]
    return msgspec.convert(shown, TaskFacts)


def _omitted(parts: Sequence[Any]) -> int:
    return max(len(parts) - MOST_PARTS, 0)


def _finding(finding: TaskFinding) -> TaskFindingDocument:
    rule, detail = finding.rule, finding.detail
    return {
        "rule": rule.name,
        "severity": rule.severity,
        "title": rule.title,
        "outcome": finding.outcome,
        "since_timestamp_seconds": finding.since,
        "message": detail.message,
        "exemption": detail.exemption,
        "reason": detail.reason,
    }
