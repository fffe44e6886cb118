"""Everything that is published, in the order of the expositions."""

from exporter.metrics.app_families import AppFamily, app_families, change_families
from exporter.metrics.exporter_families import EXPORTER_FAMILIES
from exporter.metrics.family import Declaration
from exporter.metrics.per_task_families import per_task_families
from exporter.metrics.policy_families import RULE_FAMILIES, policy_families
from exporter.metrics.task_families import task_families


def families() -> tuple[AppFamily, ...]:
    """Return the families about apps, on `/metrics`, with the functions that find their samples."""
    return (*app_families(), *task_families(), *change_families(), *policy_families())


def declarations() -> tuple[Declaration, ...]:
    """Return all families of both paths, those about the exporter included, as they are promised."""
    return (*families(), *RULE_FAMILIES, *EXPORTER_FAMILIES, *per_task_families())
