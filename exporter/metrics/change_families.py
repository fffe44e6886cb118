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
                help="Tasks added, removed or modified since the baseline.",
                labels=(Label("change", KINDS, "Kind of the change."),),
                note="The baseline is the first snapshot of this process. Two changes of a task between two updates "
                "count once; saving a task without a change does not count.",
            ),
            lambda report: _counted(report, report.changes.by_kind, KINDS),
        ),
        app_family(
            Declaration(
                name="rtcmpu_task_field_changes_total",
                kind="counter",
                help="Modified tasks since the baseline, by changed field group; a task counts once per group.",
                labels=(Label("field", FIELD_GROUPS, "Group of fields."),),
                note="`other`: fields that the exporter does not know.",
            ),
            lambda report: _counted(report, report.changes.by_field, FIELD_GROUPS),
        ),
    )


def _counted(report: AppReport, counts: Mapping[str, int], values: tuple[str, ...]) -> Iterator[Sample]:
    """Yield a count for each value, once there is a baseline."""
    if report.status.sweep is not None:
        for value in values:
            yield (value,), counts.get(value, 0)
