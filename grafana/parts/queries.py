"""PromQL that holds with several replicas and across restarts, made from the declarations of the families.

Each replica publishes the same gauges about apps, so they are reduced to one series with `max by` the family's own
labels before anything is added up. What a replica does itself, such as sending requests, is added up over replicas.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

from msgspec import Struct

from exporter.core.collection_state import State
from exporter.metrics.catalogue import declarations

HISTOGRAM_SUFFIXES: Final = {
    "histogram": ("_bucket", "_count", "_sum"),
    "gaugehistogram": ("_bucket", "_gcount", "_gsum"),
}
APP: Final = ("account", "app_id")
WINDOW: Final = "[$__rate_interval]"
FIRING: Final = 'alertname=~"Rtcmpu.*",alertstate="firing"'
BUILD_INFO: Final = "rtcmpu_exporter_build_info"


@cache
def sample_labels() -> Mapping[str, tuple[str, ...]]:
    """Return the labels of all samples that are published, by the samples' names."""
    labels = {}
    for family in declarations():
        for suffix in HISTOGRAM_SUFFIXES.get(family.kind, ("",)):
            bound = ("le",) if suffix == "_bucket" else ()
            labels[family.name + suffix] = (*family.label_names, *bound)
    return labels


class Scope(Struct, frozen=True):
    """What a dashboard's variables choose; all its queries stay within that."""

    filters: Mapping[str, str]  # the variable that chooses a label's values, by label

    def without(self, *labels: str) -> "Scope":
        """Return the scope that does not choose by these labels."""
        return Scope({label: variable for label, variable in self.filters.items() if label not in labels})

    def series(self, name: str, *matchers: str) -> str:
        """Return a selector of all series of a sample, those of all replicas.

        Raises:
            KeyError: Nothing of that name is published.
        """
        return self._selector(name, sample_labels()[name], matchers)

    def of_replicas(self, name: str) -> str:
        """Return what Prometheus or the client library publishes about exporters, without other targets."""
        return self._only_replicas(self._selector(name, (), ()))

    def rate_of_replicas(self, name: str) -> str:
        """Return how fast a counter of the client library grows in each exporter, a second."""
        return self._only_replicas(f"rate({self._selector(name, (), ())}{WINDOW})")

    def _only_replicas(self, expression: str) -> str:
        return f"({expression} and on (job, instance) last_over_time({self.series(BUILD_INFO)}[1d]))"

    def each(self, name: str, *matchers: str) -> str:
        """Return one series for each set of the family's own labels, whichever replica it comes from."""
        return _aggregate("max", sample_labels()[name], self.series(name, *matchers))

    def each_replica(self, name: str, *matchers: str) -> str:
        """Return one series for each replica and set of the family's own labels."""
        return _aggregate("max", ("instance", *sample_labels()[name]), self.series(name, *matchers))

    def total(self, name: str, *matchers: str, by: Sequence[str] = ()) -> str:
        """Return the sum of what all replicas say in the same way, each series counted once."""
        return _aggregate("sum", by, self.each(name, *matchers))

    def rate(self, name: str, *matchers: str, by: Sequence[str] = ()) -> str:
        """Return how fast a counter of what all replicas observe in the same way grows, a second."""
        observed = _aggregate("max", sample_labels()[name], f"rate({self.series(name, *matchers)}{WINDOW})")
        return _aggregate("sum", by, observed)

    def work_rate(self, name: str, *matchers: str, by: Sequence[str] = ()) -> str:
        """Return how fast a counter of what each replica does itself grows over all of them, a second."""
        return _aggregate("sum", by, f"rate({self.series(name, *matchers)}{WINDOW})")

    def quantile(self, share: float, family: str) -> str:
        """Return a quantile of a distribution of configuration, which is one of now and needs no rate."""
        return f"histogram_quantile({share}, {self.total(f'{family}_bucket', by=('le',))})"

    def work_quantile(self, share: float, family: str, *, by: Sequence[str] = ()) -> str:
        """Return a quantile of what the replicas timed."""
        return f"histogram_quantile({share}, {self.work_rate(f'{family}_bucket', by=('le', *by))})"

    def _selector(self, name: str, labels: Sequence[str], matchers: Sequence[str]) -> str:
        chosen = [
            f'{label}=~"${variable}"'
            for label, variable in self.filters.items()
            if label in labels or label in {"job", "instance"}
        ]
        within = ",".join((*chosen, *matchers))
        return f"{name}{{{within}}}" if within else name


def state_code(scope: Scope) -> str:
    """Return for each app its state's place in the order of badness, of the worst replica: 0 is ok."""
    ranked = (
        f"{state.badness} * " * (state.badness > 1) + scope.series("rtcmpu_collection_state", f'state="{state}"')
        for state in State
        if state is not State.OK
    )
    return _aggregate("max", APP, " or ".join(ranked))


def sweep_age(scope: Scope) -> str:
    """Return for each app how long ago the last accepted sweep began, of the replica that has the newest."""
    return f"time() - {scope.each('rtcmpu_collection_last_sweep_timestamp_seconds')}"


def share_of_stale_after(scope: Scope) -> str:
    """Return for each app the age of its data as a share of the age at which it is withdrawn."""
    return f"({sweep_age(scope)}) / {scope.each('rtcmpu_collection_stale_after_seconds')}"


def quota_use(scope: Scope, *matchers: str) -> str:
    """Return for each app and mode with a quota which share of it is used; a quota knows no region."""
    everywhere = scope.without("task_region")
    tasks = everywhere.total("rtcmpu_tasks", *matchers, by=(*APP, "mix_mode"))
    return f"{tasks} / {everywhere.each('rtcmpu_task_quota', *matchers)}"


def some_of_all(some: str, of_all: str) -> str:
    """Return one series that is named by the labels `some` and `all`; its value is how many are missing.

    Where there is nothing at all it says 0 of 0, and that one is missing.
    """
    nothing = 'label_replace(label_replace(vector(1), "some", "0", "", ""), "all", "0", "", "")'
    return (
        f'count_values("some", {some}) * on () group_left (all) count_values("all", {of_all})'
        f" * on () group_left () ({of_all} - {some}) or on () {nothing}"
    )


def app_in_words(scope: Scope) -> str:
    """Return each app with the label `shown`: its name, or its id if it has none; and its owner after a dot."""
    identified = f'label_replace({scope.each("rtcmpu_app_info")}, "shown", "$1", "app_id", "(.*)")'
    named = f'label_replace({identified}, "shown", "$1", "name", "(.+)")'
    return f'label_replace({named}, "owner", " · $1", "owner", "(.+)")'


def apps_with_data(scope: Scope) -> str:
    """Return of how many apps there is data, of how many that are configured, as `some_of_all`."""
    return some_of_all(
        scope.total("rtcmpu_collection_data_available"), f"count({scope.each('rtcmpu_collection_data_available')})"
    )


def with_severity(scope: Scope, of_rules: str) -> str:
    """Return only what is about rules of the chosen severities, with the severity as a label.

    While replicas disagree about a rule's severity, one of them is believed: two would make the join fail.
    """
    chosen = f"topk by (rule) (1, max by (rule, severity) ({scope.series('rtcmpu_policy_rule_info')}))"
    return f"{of_rules} * on (rule) group_left (severity) {chosen}"


def firing_alerts(scope: Scope) -> str:
    """Return our firing alerts about the chosen jobs, accounts and apps; one with a critical twin is left out."""
    critical, warning = (_alerts(scope, f'severity="{severity}"') for severity in ("critical", "warning"))
    return _of_jobs(scope, f"{_alerts(scope)} unless ({warning} and ignoring (severity) {critical})")


def beginning_alerts(scope: Scope) -> str:
    """Return the critical alerts that began to fire within the last minute."""
    critical = _alerts(scope, 'severity="critical"')
    began = _of_jobs(scope, f"{critical} unless {critical} offset 1m")
    return _aggregate("count", ("alertname", "account", "app_id"), began)


def _alerts(scope: Scope, *matchers: str) -> str:
    """Return a selector of firing alerts; one without account, app or job is about all of them."""
    chosen = [f'{label}=~"${label}|"' for label in ("job", *APP) if label in scope.filters]
    return f"ALERTS{{{','.join((FIRING, *chosen, *matchers))}}}"


def _of_jobs(scope: Scope, alerts: str) -> str:
    """Return only alerts about accounts that the chosen jobs read, and those about no account."""
    read = _aggregate("max", ("account",), f"last_over_time({scope.series('rtcmpu_up')}[1d])")
    return f"(({alerts}) and on (account) ({read} or vector(1)))"


def _aggregate(operator: str, by: Sequence[str], expression: str) -> str:
    grouping = f" by ({', '.join(by)}) " if by else ""
    return f"{operator}{grouping}({expression})"
