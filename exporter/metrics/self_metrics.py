"""What the exporter knows about itself: counted by all layers with the official client, in a registry of its own."""

import platform
from collections.abc import Iterable
from math import nan
from threading import Lock
from typing import Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
)

from exporter import revision
from exporter.core.collection_state import State
from exporter.metrics import exporter_families as declared
from exporter.metrics import labels
from exporter.metrics.exporter_families import EXEMPTION_EXPIRY, RULE_FAMILIES, RULE_INFO
from exporter.metrics.family import Declaration, headers, metric_lines, render_metrics
from exporter.rules.rule import Rule
from exporter.storage.writer import Writer

_MAKERS: Final[dict[str, Any]] = {"counter": Counter, "gauge": Gauge, "histogram": Histogram, "info": Info}
_COUNTED_ELSEWHERE: Final = (declared.STORAGE_CHANGES_LOST, declared.LEASE_TAKEOVERS)


class _Families:
    """The declared families, in the order of the exposition, with the lines of those that have not changed."""

    def __init__(self) -> None:
        self.changing = Lock()
        """Of what changes together: a rendering sees all of it or nothing. It is held briefly: the event loop waits."""
        self._metrics: dict[Declaration, Any] = {}
        self._changed: set[Declaration] = set()
        for each in (*RULE_FAMILIES, *declared.EXPORTER_FAMILIES):
            buckets = {"buckets": each.buckets} if each.buckets else {}
            about = (each.openmetrics_name, each.documentation, each.label_names)
            self._metrics[each] = _MAKERS[each.kind](*about, registry=None, **buckets)
            if not each.labels:
                self.set(each, nan)
        self._lines = dict.fromkeys(self._metrics, b"")
        self._process = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._process)
        self._rendering = Lock()

    def add(self, declaration: Declaration, *values: str) -> None:
        """Let a series be there, from 0."""
        self._metrics[declaration].labels(*values)
        self._changed.add(declaration)

    def count(self, declaration: Declaration, *values: str) -> None:
        """Count one more."""
        self._metrics[declaration].labels(*values).inc()
        self._changed.add(declaration)

    def observe(self, declaration: Declaration, value: float, *values: str) -> None:
        """Count a value in a histogram."""
        self._metrics[declaration].labels(*values).observe(value)
        self._changed.add(declaration)

    def set(self, declaration: Declaration, value: float, *values: str) -> None:
        """Let a gauge, or a counter that is counted elsewhere, have a value; NaN: it is absent."""
        series = self._metrics[declaration].labels(*values) if values else self._metrics[declaration]
        if declaration.kind == "counter":
            series.reset()
            series.inc(value)
        else:
            series.set(value)
        self._changed.add(declaration)

    def forget(self, declaration: Declaration, *values: str) -> None:
        """Drop a series, if it is there; without values all of the family."""
        if values:
            self._metrics[declaration].remove(*values)
        else:
            self._metrics[declaration].clear()
        self._changed.add(declaration)

    def forget_account(self, account: str) -> None:
        """Drop the series of an account and of its apps."""
        for declaration, metric in self._metrics.items():
            if labels.ACCOUNT in declaration.labels:
                metric.remove_by_labels({labels.ACCOUNT.name: account})
                self._changed.add(declaration)

    def render(self) -> tuple[bytes, bytes]:
        """Return all families as they are now, in the text format and in OpenMetrics."""
        with self._rendering:
            with self.changing:
                changed = self._changed.copy()
                self._changed -= changed  # before they are read: what changes meanwhile is read again next time
                together = {each for each in changed if each.kind in {"gauge", "info"} or each in _COUNTED_ELSEWHERE}
                collected = {declaration: self._metrics[declaration].collect() for declaration in together}
            collected |= {declaration: self._metrics[declaration].collect() for declaration in changed - together}
            self._lines |= {declaration: metric_lines(metrics) for declaration, metrics in collected.items()}
            process = list(self._process.collect())
            text, openmetrics = (
                b"".join(headers(each, openmetrics=form)[0][0] + self._lines[each] for each in self._metrics)
                + render_metrics(process, openmetrics=form)
                for form in (False, True)
            )
            return text, openmetrics


_COUNTED_BY_ACCOUNT: Final = (
    (declared.API_REQUESTS, labels.OUTCOME),
    (declared.API_RETRIES, labels.RETRY_REASON),
    (declared.RATE_LIMIT_WAIT, labels.PRIORITY),
)


class AccountMetrics:
    """Counts for one account; what comes after the account was removed is dropped."""

    def __init__(self, families: _Families, account: str) -> None:
        self._families = families
        self._account = account
        families.add(declared.API_THROTTLED, account)
        families.add(declared.API_REQUEST_DURATION, account)
        for declaration, label in _COUNTED_BY_ACCOUNT:
            for value in label.values:
                families.add(declaration, account, value)

    def request_finished(self, outcome: State, seconds: float) -> None:
        """Count one attempt of a request, and how long it took."""
        self._families.count(declared.API_REQUESTS, self._account, outcome)
        self._families.observe(declared.API_REQUEST_DURATION, seconds, self._account)

    def retried(self, reason: State) -> None:
        """Count a request that is sent again, by how the attempt before ended."""
        self._families.count(declared.API_RETRIES, self._account, reason)

    def throttled(self) -> None:
        """Count an answer that asks for fewer requests."""
        self._families.count(declared.API_THROTTLED, self._account)

    def waited(self, priority: str, seconds: float) -> None:
        """Count how long a request waited for its turn; `priority` is a value of the label."""
        self._families.observe(declared.RATE_LIMIT_WAIT, seconds, self._account, priority)

    def rate(self, requests_per_second: float) -> None:
        """Publish the request budget that is in force."""
        self._families.set(declared.RATE_LIMIT_REQUESTS_PER_SECOND, requests_per_second, self._account)

    def clock_skew(self, seconds: float) -> None:
        """Publish the API's clock minus this machine's."""
        self._families.set(declared.CLOCK_SKEW, seconds, self._account)

    def credentials_in_use(self, source: str, expires_at: float | None) -> None:
        """Publish the source of the credentials in use, and when they expire, in seconds since 1970; None: never."""
        with self._families.changing:
            self._forget_credentials()
            self._families.add(declared.CREDENTIALS_INFO, self._account, source)
            if expires_at is not None:
                self._families.set(declared.CREDENTIALS_EXPIRY, expires_at, self._account)

    def credentials_unknown(self) -> None:
        """Publish nothing about credentials until others are in use."""
        with self._families.changing:
            self._forget_credentials()

    def remove(self) -> None:
        """Drop all that is known about the account and its apps."""
        with self._families.changing:
            self._families.forget_account(self._account)
        self._families = _Families()

    def _forget_credentials(self) -> None:
        self._families.forget(declared.CREDENTIALS_EXPIRY, self._account)
        for source in labels.CREDENTIALS_SOURCE.values:
            self._families.forget(declared.CREDENTIALS_INFO, self._account, source)


class SelfMetrics:
    """The exporter's own metrics. `message_logged` and `render` may be called from any thread."""

    def __init__(self, *, version: str) -> None:
        self._families = _Families()
        self._accounts: dict[str, AccountMetrics] = {}
        self._apps: set[tuple[str, str]] = set()
        self._families.add(declared.BUILD_INFO, version, revision(), platform.python_version())
        for declaration, label in ((declared.LOG_MESSAGES, labels.LEVEL), (declared.INTERNAL_ERRORS, labels.PART)):
            for value in label.values:
                self._families.add(declaration, value)

    def config_loaded(self, sha256: str, timestamp: float, *, unmatched_patterns: int = 0) -> None:
        """Publish that a configuration is in force since `timestamp` (seconds since 1970)."""
        with self._families.changing:
            self._families.forget(declared.CONFIG_INFO)
            self._families.add(declared.CONFIG_INFO, sha256)
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
        with self._families.changing:
            self._families.forget(RULE_INFO)
            self._families.forget(EXEMPTION_EXPIRY)
            for rule in rules:
                self._families.add(RULE_INFO, rule.name, rule.severity, rule.title, rule.owner, rule.runbook_url)
                for exemption in rule.exempt:
                    if exemption.until is not None:
                        self._families.set(EXEMPTION_EXPIRY, exemption.ends_at, rule.name, exemption.name)

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
        for reason in labels.SKIP_REASON.values:
            self._families.add(declared.SWEEPS_SKIPPED, account, app_id, reason)

    def remove_app(self, account: str, app_id: str) -> None:
        """Withdraw an app."""
        self._apps.discard((account, app_id))
        for reason in labels.SKIP_REASON.values:
            self._families.forget(declared.SWEEPS_SKIPPED, account, app_id, reason)

    def sweep_skipped(self, account: str, app_id: str, reason: str) -> None:
        """Count a sweep that was due and did not start; `reason` is a value of the label."""
        if (account, app_id) in self._apps:
            self._families.count(declared.SWEEPS_SKIPPED, account, app_id, reason)

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
        with self._families.changing:
            for declaration in (declared.LEASE_HELD, declared.LEASE_TAKEOVERS, declared.LEASE_UNHELD):
                self._families.forget(declaration)

    def event_loop_lag(self, seconds: float) -> None:
        """Publish the longest delay of the event loop lately."""
        self._families.set(declared.EVENT_LOOP_LAG, seconds)

    def rendered(self, path: str, *, seconds: float, series: int) -> None:
        """Publish how long a rendering took and how many series there are on its path."""
        self._families.set(declared.RENDER_DURATION, seconds, path)
        self._families.set(declared.SERIES, series, path)

    def omitted(self, path: str, *, series: int) -> None:
        """Publish how many series a configured limit keeps from a path."""
        self._families.set(declared.SERIES_OMITTED, series, path)

    def path_closed(self, path: str) -> None:
        """Withdraw the series of a path."""
        for declaration in (declared.RENDER_DURATION, declared.SERIES, declared.SERIES_OMITTED):
            self._families.forget(declaration, path)

    def request_answered(self, path: str, code: int) -> None:
        """Count an HTTP request by its route's template and its answer's status."""
        self._families.count(declared.HTTP_REQUESTS, path, str(code))

    def message_logged(self, level: str) -> None:
        """Count a log message that was shown, from any thread."""
        self._families.count(declared.LOG_MESSAGES, level)

    def internal_error(self, part: str) -> None:
        """Count an exception that nothing expected; `part` is a value of the label."""
        self._families.count(declared.INTERNAL_ERRORS, part)

    def render(self) -> tuple[bytes, bytes]:
        """Return all of them as they are now, in the text format and in OpenMetrics."""
        return self._families.render()
