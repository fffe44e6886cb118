"""What the exporter knows about itself: counted by all layers with the official client, in a registry of its own."""

import platform
from collections.abc import Iterable
from math import nan
from threading import Lock

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    Metric,
    PlatformCollector,
    ProcessCollector,
)

from exporter import revision
from exporter.core.collection_state import State
from exporter.metrics import exporter_families as declared
from exporter.metrics.family import Declaration
from exporter.metrics.labels import LEVEL, OUTCOME, PART, PRIORITY, RETRY_REASON, SKIP_REASON
from exporter.metrics.policy_families import EXEMPTION_EXPIRY, RULE_FAMILIES, RULE_INFO
from exporter.metrics.text import render_metrics
from exporter.rules.rule import Rule
from exporter.storage.writer import Writer


class _Families:
    """The declared families, in the order of the exposition, by their declarations."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.changing = Lock()  # several series that change together: a rendering sees all of it or nothing
        self.counters: dict[Declaration, Counter] = {}
        self.gauges: dict[Declaration, Gauge] = {}
        self.histograms: dict[Declaration, Histogram] = {}
        self.infos: dict[Declaration, Info] = {}
        for each in (*RULE_FAMILIES, *declared.EXPORTER_FAMILIES):
            about = (each.openmetrics_name, each.documentation, each.label_names)
            if each.kind == "counter":
                self.counters[each] = Counter(*about, registry=self.registry)
            elif each.kind == "info":
                self.infos[each] = Info(*about, registry=self.registry)
            elif each.kind == "histogram":
                self.histograms[each] = Histogram(*about, registry=self.registry, buckets=each.buckets)
            else:
                self.gauges[each] = Gauge(*about, registry=self.registry)
            if not each.labels:
                self.set(each, nan)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)

    def set(self, declaration: Declaration, value: float, *labels: str) -> None:
        """Let a gauge, or a counter that is counted elsewhere, have a value; NaN: it is absent."""
        family = self.counters.get(declaration) or self.gauges[declaration]
        series = family.labels(*labels) if labels else family
        if isinstance(series, Gauge):
            series.set(value)
        else:
            series.reset()
            series.inc(value)

    def forget(self, *declarations: Declaration, **labels: str) -> None:
        """Drop the series with these labels, in these families or in all that have the labels."""
        for families in (self.counters, self.gauges, self.histograms, self.infos):
            for declaration, family in families.items():
                if labels.keys() <= set(declaration.label_names) and declaration in (declarations or families):
                    family.remove_by_labels(labels)


class AccountMetrics:
    """Counts for one account; what comes after the account was removed is dropped."""

    def __init__(self, families: _Families, account: str) -> None:
        self._families = families
        self._account = account
        self._is_removed = False
        requests, retries = families.counters[declared.API_REQUESTS], families.counters[declared.API_RETRIES]
        waits = families.histograms[declared.RATE_LIMIT_WAIT]
        self._requests = {outcome: requests.labels(account, outcome) for outcome in OUTCOME.values}
        self._retries = {reason: retries.labels(account, reason) for reason in RETRY_REASON.values}
        self._throttled = families.counters[declared.API_THROTTLED].labels(account)
        self._duration = families.histograms[declared.API_REQUEST_DURATION].labels(account)
        self._waits = {priority: waits.labels(account, priority) for priority in PRIORITY.values}

    def request_finished(self, outcome: State, seconds: float) -> None:
        """Count one attempt of a request, and how long it took."""
        self._requests[outcome].inc()
        self._duration.observe(seconds)

    def retried(self, reason: State) -> None:
        """Count a request that is sent again, by how the attempt before ended."""
        self._retries[reason].inc()

    def throttled(self) -> None:
        """Count an answer that asks for fewer requests."""
        self._throttled.inc()

    def waited(self, priority: str, seconds: float) -> None:
        """Count how long a request waited for its turn; `priority` is a value of the label."""
        self._waits[priority].observe(seconds)

    def rate(self, requests_per_second: float) -> None:
        """Publish the request budget that is in force."""
        self._set(declared.RATE_LIMIT_REQUESTS_PER_SECOND, requests_per_second)

    def clock_skew(self, seconds: float) -> None:
        """Publish the API's clock minus this machine's."""
        self._set(declared.CLOCK_SKEW, seconds)

    def credentials_in_use(self, source: str, expires_at: float | None) -> None:
        """Publish which credentials are in use.

        Args:
            source: A value of the label.
            expires_at: In seconds since 1970; None: they do not expire.
        """
        with self._families.changing:
            self._forget_credentials()
            if not self._is_removed:
                self._families.infos[declared.CREDENTIALS_INFO].labels(self._account, source)
            if expires_at is not None:
                self._set(declared.CREDENTIALS_EXPIRY, expires_at)

    def credentials_unknown(self) -> None:
        """Publish nothing about credentials until others are in use."""
        with self._families.changing:
            self._forget_credentials()

    def remove(self) -> None:
        """Drop all that is known about the account and its apps."""
        self._is_removed = True
        with self._families.changing:
            self._families.forget(account=self._account)

    def _set(self, declaration: Declaration, value: float) -> None:
        if not self._is_removed:
            self._families.set(declaration, value, self._account)

    def _forget_credentials(self) -> None:
        self._families.forget(declared.CREDENTIALS_INFO, declared.CREDENTIALS_EXPIRY, account=self._account)


class SelfMetrics:
    """The exporter's own metrics. `message_logged`, `collect` and `render` may be called from any thread."""

    def __init__(self, *, version: str) -> None:
        self._families = _Families()
        self._accounts: dict[str, AccountMetrics] = {}
        self._apps: set[tuple[str, str]] = set()
        self.event_loop_lag = self._families.gauges[declared.EVENT_LOOP_LAG]
        self._families.infos[declared.BUILD_INFO].labels(version, revision(), platform.python_version())
        for declaration, label in ((declared.LOG_MESSAGES, LEVEL), (declared.INTERNAL_ERRORS, PART)):
            for value in label.values:
                self._families.counters[declaration].labels(value)

    def config_loaded(self, sha256: str, timestamp: float, *, unmatched_patterns: int = 0) -> None:
        """Publish that a configuration is in force since `timestamp` (seconds since 1970)."""
        with self._families.changing:
            self._families.infos[declared.CONFIG_INFO].clear()
            self._families.infos[declared.CONFIG_INFO].labels(sha256)
            self._families.set(declared.CONFIG_LAST_RELOAD_SUCCESSFUL, 1)
            self._families.set(declared.CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP, timestamp)
            self._families.set(declared.CONFIG_UNMATCHED_PATTERNS, unmatched_patterns)

    def config_rejected(self) -> None:
        """Publish that a new configuration was refused and the one before stays in force."""
        self._families.set(declared.CONFIG_LAST_RELOAD_SUCCESSFUL, 0)

    def web_config_loaded(self, is_in_force: bool) -> None:
        """Publish whether the web configuration, as it was last read, is in force or was refused."""
        self._families.set(declared.WEB_CONFIG_LAST_RELOAD_SUCCESSFUL, is_in_force)

    def rules_loaded(self, rules: Iterable[Rule]) -> None:
        """Publish the rules that are in force, each name once, and no others."""
        info, expiry = self._families.infos[RULE_INFO], self._families.gauges[EXEMPTION_EXPIRY]
        with self._families.changing:
            info.clear()
            expiry.clear()
            for rule in rules:
                info.labels(rule.name, rule.severity, rule.title, rule.owner, rule.runbook_url)
                for exemption in rule.exempt:
                    if exemption.ends_at is not None:
                        expiry.labels(rule.name, exemption.name).set(exemption.ends_at)

    def add_account(self, account: str) -> AccountMetrics:
        """Publish an account, and return where its requests are counted.

        The counts of an account that is already published continue.
        """
        if account not in self._accounts:
            self._accounts[account] = AccountMetrics(self._families, account)
        return self._accounts[account]

    def remove_account(self, account: str) -> None:
        """Withdraw an account and its apps."""
        self._apps = {app for app in self._apps if app[0] != account}
        if (removed := self._accounts.pop(account, None)) is not None:
            removed.remove()

    def add_app(self, account: str, app_id: str) -> None:
        """Publish an app; the counts of one that is already published continue."""
        self._apps.add((account, app_id))
        for reason in SKIP_REASON.values:
            self._families.counters[declared.SWEEPS_SKIPPED].labels(account, app_id, reason)

    def remove_app(self, account: str, app_id: str) -> None:
        """Withdraw an app."""
        self._apps.discard((account, app_id))
        self._families.forget(account=account, app_id=app_id)

    def sweep_skipped(self, account: str, app_id: str, reason: str) -> None:
        """Count a sweep that was due and did not start; `reason` is a value of the label."""
        if (account, app_id) in self._apps:
            self._families.counters[declared.SWEEPS_SKIPPED].labels(account, app_id, reason).inc()

    def storage(self, writer: Writer | None) -> None:
        """Publish the state of the database; nothing without one."""
        with self._families.changing:
            self._families.set(declared.STORAGE_UP, nan if writer is None else writer.up)
            self._families.set(declared.STORAGE_WRITE_LAG, nan if writer is None else writer.lag_seconds)
            self._families.set(declared.STORAGE_SIZE, (writer and writer.size_bytes) or nan)
            self._families.set(declared.STORAGE_CHANGES_LOST, nan if writer is None else writer.changes_lost)

    def lease(self, account: str, *, is_held: bool, takeovers: int, unheld_seconds: float) -> None:
        """Publish the state of the lease of an account's budget."""
        if account in self._accounts:
            with self._families.changing:
                self._families.set(declared.LEASE_HELD, is_held, account)
                self._families.set(declared.LEASE_TAKEOVERS, takeovers, account)
                self._families.set(declared.LEASE_UNHELD, unheld_seconds, account)

    def no_leases(self) -> None:
        """Publish nothing about leases."""
        for account in self._accounts:
            leases = (declared.LEASE_HELD, declared.LEASE_TAKEOVERS, declared.LEASE_UNHELD)
            self._families.forget(*leases, account=account)

    def rendered(self, path: str, *, seconds: float, series: int) -> None:
        """Publish how long a rendering took and how many series there are on its path."""
        self._families.set(declared.RENDER_DURATION, seconds, path)
        self._families.set(declared.SERIES, series, path)

    def omitted(self, path: str, *, series: int) -> None:
        """Publish how many series a configured limit keeps from a path."""
        self._families.set(declared.SERIES_OMITTED, series, path)

    def path_closed(self, path: str) -> None:
        """Withdraw the series of a path."""
        self._families.forget(declared.RENDER_DURATION, declared.SERIES, declared.SERIES_OMITTED, path=path)

    def request_answered(self, path: str, code: int) -> None:
        """Count an HTTP request by its route's template and its answer's status."""
        self._families.counters[declared.HTTP_REQUESTS].labels(path, str(code)).inc()

    def message_logged(self, level: str) -> None:
        """Count a log message that was shown, from any thread."""
        self._families.counters[declared.LOG_MESSAGES].labels(level).inc()

    def internal_error(self, part: str) -> None:
        """Count an exception that nothing expected; `part` is a value of the label."""
        self._families.counters[declared.INTERNAL_ERRORS].labels(part).inc()

    def collect(self) -> list[Metric]:
        """Return all of them as they are now."""
        with self._families.changing:
            return list(self._families.registry.collect())

    def render(self, *, openmetrics: bool) -> bytes:
        """Return all of them as they are now, in one of the formats."""
        return render_metrics(self.collect(), openmetrics=openmetrics)
