"""The families about changes: counted from the baseline on, and never withdrawn."""

from collections.abc import Iterator, Mapping

from exporter.collect.changes import FIELD_GROUPS, KINDS
from exporter.metrics.app_families import AppFamily, app_family
from exporter.metrics.family import Declaration, Label, Sample
from exporter.metrics.report import AppReport


def change_families() -> tuple[AppFamily, ...]:
    """Return the families in the order of the exposition."""
    return (
        app_family(
            Declaration(
                name="rtcmpu_task_changes_total",
                kind="counter",
                help="Changes of the list that were noticed: tasks that came, went, or are configured otherwise.",
                labels=(Label("change", KINDS, "What happened to the task."),),
                note="Counted since the baseline, the first snapshot that this process had. A task that changes twice "
                "between two updates counts once, and one that is saved again as it was does not count.",
            ),
            lambda report: _counted(report, report.changes.by_kind, KINDS),
        ),
        app_family(
            Declaration(
                name="rtcmpu_task_field_changes_total",
                kind="counter",
                help="Modified tasks by the group of fields that changed; a task counts for each of its groups.",
                labels=(Label("field", FIELD_GROUPS, "Fields that belong together."),),
                note="`other` are fields that are not known here.",
            ),
            lambda report: _counted(report, report.changes.by_field, FIELD_GROUPS),
        ),
    )


def _counted(report: AppReport, counts: Mapping[str, int], values: tuple[str, ...]) -> Iterator[Sample]:
    """Yield a count for each value, once there is a baseline."""
    if report.status.sweep is not None:
        for value in values:
            yield (value,), counts.get(value, 0)
