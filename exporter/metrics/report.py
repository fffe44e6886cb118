"""What is published about one app, gathered at one moment."""

from msgspec import Struct, field

from exporter.collect.changes import ChangeCounts
from exporter.collect.status import Status
from exporter.metrics.aggregates import Aggregates
from exporter.policy.report import PolicyReport


class AppReport(Struct, frozen=True):
    """Everything that the families about one app are computed from."""

    status: Status
    aggregates: Aggregates | None
    """None while there is no data, or while it is withdrawn."""
    changes: ChangeCounts = field(default_factory=ChangeCounts)
    """Since the baseline."""
    policy: PolicyReport | None = None
    """As of the last evaluation, also while the data is withdrawn; None: there was none yet."""
