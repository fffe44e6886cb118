"""PromQL that holds with several replicas and across restarts, made from the declarations of the families.

Each replica publishes the same gauges about apps, so they are reduced to one series with `max by` the family's own
labels before anything is added up. What a replica does itself, such as sending requests, is added up over replicas.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

from msgspec import Struct

from exporter.core.collection_state import State
from exporter.metrics.exposition import declarations
from grafana.parts.looks import QUOTA_IS_FULL, RANKS

HISTOGRAM_SUFFIXES: Final = {
    "histogram": ("_bucket", "_count", "_sum"),
    "gaugehistogram": ("_bucket", "_gcount", "_gsum"),
}
APP: Final = ("account", "app_id")
WINDOW: Final = "[$__rate_interval]"
BUILD_INFO: Final = "rtcmpu_exporter_build_info"
OWNED: Final = 'rule_owner!=""'
STATE: Final = "rtcmpu_collection_state"
ATTENTION_RECORD: Final = "app:rtcmpu_attention:max"
RAW: Final = "raw"  # the variable that matches all apps if that is not recorded, and none if it is
NOTHING: Final = -1e9  # a value that nothing has


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

    def recorded(self, name: str) -> str:
        """Return a selector of what a recording rule makes, which is about apps."""
        return self._selector(name, APP, ())

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
        """Return a quantile of what the replicas timed; it is absent while they time nothing."""
        return f"histogram_quantile({share}, {self.work_rate(f'{family}_bucket', by=('le', *by))}) >= 0"

    def _selector(self, name: str, labels: Sequence[str], matchers: Sequence[str]) -> str:
        chosen = [
            f'{label}=~"${variable}"'
            for label, variable in self.filters.items()
            if label in labels or label in {"job", "instance"}
        ]
        within = ",".join((*chosen, *matchers))
        return f"{name}{{{within}}}" if within else name


def of_severity(severity: str) -> str:
    """Return the matcher of one severity."""
    return f'severity="{severity}"'


def state_code(scope: Scope) -> str:
    """Return for each app its state's place in the order of badness, of the worst replica: 0 is ok."""
    in_state = {state: scope.series(STATE, f'state="{state}"') for state in State}
    return _aggregate("max", APP, " or ".join(f"{state.badness} * ({now} == 1)" for state, now in in_state.items()))


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


def apps_with_data(scope: Scope) -> str:
    """Return of how many apps there is data, of how many that are configured, as `some_of_all`."""
    return some_of_all(
        scope.total("rtcmpu_collection_data_available"), f"count({scope.each('rtcmpu_collection_data_available')})"
    )


def attention(scope: Scope) -> str:
    """Return for each app what is worst about it: the numbers of `ATTENTION`."""
    data = scope.each("rtcmpu_collection_data_available")
    failing, critical, warning = (
        # Comparing before aggregating leaves a few of thousands of series to aggregate.
        f"max by (account, app_id) ({scope.series(name, matcher)} > 0)"
        for name, matcher in (
            (STATE, 'state!="ok"'),
            ("rtcmpu_policy_violations", of_severity("critical")),
            ("rtcmpu_policy_violations", of_severity("warning")),
        )
    )
    full = f"max by (account, app_id) ({quota_use(scope)} >= {QUOTA_IS_FULL})"
    worst_first = (f"{data} == 0", failing, critical, full, warning)
    ranked = (f"0 * ({wrong}) + {len(worst_first) - place}" for place, wrong in enumerate(worst_first))
    return f"{' or '.join(ranked)} or 0 * {data}"


def recorded_attention(scope: Scope) -> str:
    """Return the same as it was recorded; without the recording rules the variable `RAW` lets the raw series in."""
    recorded = _aggregate("max", APP, scope.recorded(ATTENTION_RECORD))
    return f"{recorded} or {attention(Scope({**scope.filters, 'app_id': RAW}))}"


def above_zero(expression: str, label: str) -> str:
    """Return the series above 0; if there are only others, one at 0 whose label is `none`, so that no data differs."""
    return f'{expression} > 0 or on () label_replace(0 * sum({expression}), "{label}", "none", "", "")'


def or_nothing(query: str, known: str) -> str:
    """Return a query that answers `NOTHING` where it has no value although `known` has one."""
    return f"{query} or on () 0 * max({known}) + {NOTHING}"


def only_chosen(scope: Scope, of_rules: str) -> str:
    """Return only what is about rules of the chosen severities."""
    return f"({of_rules} and on (rule) max by (rule) ({scope.series('rtcmpu_policy_rule_info')}))"


def ranked(of_severities: str) -> str:
    """Return series with the label `rank`, by which tables sort severities."""
    for rank, (severity, _) in RANKS.items():
        of_severities = f'label_replace({of_severities}, "rank", "{rank}", "severity", "{severity}")'
    return of_severities


def with_owner(scope: Scope, violations: str) -> str:
    """Return what is about rules and apps with the label `owner`: the rule's, or else the app's.

    While replicas disagree, one of them is believed: two would make the join fail.
    """
    of_rules = f"max by (rule, rule_owner) ({scope.series('rtcmpu_policy_rule_info', OWNED)})"
    of_rules = f'label_replace(topk by (rule) (1, {of_rules}), "owner", "$1", "rule_owner", "(.+)")'
    return (
        f"{violations} * on (rule) group_left (owner) {of_rules} or on (account, app_id, rule) "
        f"{violations} * on (account, app_id) group_left (owner) {owners(scope)}"
    )


def owners(scope: Scope) -> str:
    """Return one series for each app, with the label `owner`: while replicas disagree, one of them is believed."""
    return f"topk by (account, app_id) (1, max by (account, app_id, owner) ({scope.series('rtcmpu_app_info')}))"


def apps_without_data(scope: Scope) -> str:
    """Return a row for each app without data, or one if there is no app at all: nobody knows what they violate."""
    data = scope.each("rtcmpu_collection_data_available")
    withdrawn = f"({data} == 0) * on (account, app_id) group_left (owner) {owners(scope)}"
    rows = f'label_replace({withdrawn} or absent({data}), "rule", "no data", "", "")'
    return f'label_replace({rows}, "rank", "4", "", "")'


def _aggregate(operator: str, by: Sequence[str], expression: str) -> str:
    grouping = f" by ({', '.join(by)}) " if by else ""
    return f"{operator}{grouping}({expression})"
