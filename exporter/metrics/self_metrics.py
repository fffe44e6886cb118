"""The families about the exporter itself and its rules, as declarations, and their values in the official client."""

import platform
from collections.abc import Iterable
from functools import partial
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

from exporter import __version__, revision
from exporter.core.collection_state import State
from exporter.metrics import labels
from exporter.metrics.family import Declaration, Kind, Label, headers, metric_lines, render_metrics
from exporter.rules.rule import Rule
from exporter.storage.writer import Writer


def _declared(kind: Kind, name: str, help_text: str, *label: Label, **more: Any) -> Declaration:
    return Declaration(name=name, kind=kind, help=help_text, labels=label, **more)


_gauge: Final = partial(_declared, "gauge")
_counter: Final = partial(_declared, "counter")
_info: Final = partial(_declared, "info")
_histogram: Final = partial(_declared, "histogram")

RULE_INFO: Final = _info(
    "rtcmpu_policy_rule_info",
    "An active rule; always 1.",
    labels.RULE,
    labels.SEVERITY,
    Label("title", meaning="The rule's title."),
    Label("rule_owner", meaning="The rule's owner; may be empty."),
    Label("runbook_url", meaning="The rule's runbook; may be empty."),
)
EXEMPTION_EXPIRY: Final = _gauge(
    "rtcmpu_policy_exemption_expiry_timestamp_seconds",
    "Unix time at which an exemption from a rule ends.",
    labels.RULE,
    Label("exemption", meaning="The exemption's name."),
    note="Also when it has passed; absent without an end.",
)
BUILD_INFO: Final = _info(
    "rtcmpu_exporter_build_info",
    "Version and Git commit of the exporter; always 1.",
    Label("version", meaning="The exporter's version."),
    Label("revision", meaning="The Git commit; `unknown` without a release build."),
    Label("python_version", meaning="Python's version."),
)
CONFIG_INFO: Final = _info(
    "rtcmpu_exporter_config_info",
    "Active configuration; always 1.",
    Label("sha256", meaning="Digest of the configuration."),
)
CONFIG_LAST_RELOAD_SUCCESSFUL: Final = _gauge(
    "rtcmpu_exporter_config_last_reload_successful", "1 if the last load of the configuration succeeded, else 0."
)
CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP: Final = _gauge(
    "rtcmpu_exporter_config_last_reload_success_timestamp_seconds",
    "Unix time at which the configuration was last loaded successfully.",
)
CONFIG_UNMATCHED_PATTERNS: Final = _gauge(
    "rtcmpu_exporter_config_unmatched_patterns",
    "Patterns of app_files and rule_files in the active configuration that match no file.",
)
WEB_CONFIG_LAST_RELOAD_SUCCESSFUL: Final = _gauge(
    "rtcmpu_exporter_web_config_last_reload_successful",
    "1 if the last load of the web configuration succeeded, else 0; absent without one.",
)
API_REQUESTS: Final = _counter(
    "rtcmpu_exporter_api_requests_total",
    "Requests sent to the API since the start, by outcome; every retry counts.",
    labels.ACCOUNT,
    labels.OUTCOME,
)
API_RETRIES: Final = _counter(
    "rtcmpu_exporter_api_retries_total",
    "Requests retried since the start, by the outcome of the previous attempt.",
    labels.ACCOUNT,
    labels.RETRY_REASON,
)
API_THROTTLED: Final = _counter(
    "rtcmpu_exporter_api_throttled_total", "API responses that signalled throttling, since the start.", labels.ACCOUNT
)
API_REQUEST_DURATION: Final = _histogram(
    "rtcmpu_exporter_api_request_duration_seconds",
    "Duration of API requests, from sending to the end of the response or the failure.",
    labels.ACCOUNT,
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
RATE_LIMIT_WAIT: Final = _histogram(
    "rtcmpu_exporter_rate_limit_wait_seconds",
    "Time that API requests waited for the rate limiter.",
    labels.ACCOUNT,
    labels.PRIORITY,
    buckets=(0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
RATE_LIMIT_REQUESTS_PER_SECOND: Final = _gauge(
    "rtcmpu_exporter_rate_limit_requests_per_second",
    "Effective request budget: the configured one, or less after throttling.",
    labels.ACCOUNT,
)
SWEEPS_SKIPPED: Final = _counter(
    "rtcmpu_exporter_sweeps_skipped_total",
    "Sweeps that were due and did not start, since the start.",
    labels.ACCOUNT,
    labels.APP_ID,
    labels.SKIP_REASON,
)
CLOCK_SKEW: Final = _gauge(
    "rtcmpu_exporter_clock_skew_seconds",
    "The API's clock minus this machine's, at the last response.",
    labels.ACCOUNT,
    note="Absent before the first response.",
)
CREDENTIALS_INFO: Final = _info(
    "rtcmpu_exporter_credentials_info",
    "Source of the access key in use; always 1.",
    labels.ACCOUNT,
    labels.CREDENTIALS_SOURCE,
    note="Absent while there is no key.",
)
CREDENTIALS_EXPIRY: Final = _gauge(
    "rtcmpu_exporter_credentials_expiry_timestamp_seconds",
    "Unix time at which the temporary credentials in use expire.",
    labels.ACCOUNT,
    note="Absent for credentials that do not expire.",
)
RENDER_DURATION: Final = _gauge(
    "rtcmpu_exporter_render_duration_seconds",
    "Duration of the last rendering of changed families, in seconds.",
    labels.PATH,
)
SERIES: Final = _gauge(
    "rtcmpu_exporter_series", "Published series about apps, without those about the exporter.", labels.PATH
)
SERIES_OMITTED: Final = _gauge(
    "rtcmpu_exporter_series_omitted", "Series left out because a configured limit is reached.", labels.PATH
)
EVENT_LOOP_LAG: Final = _gauge(
    "rtcmpu_exporter_event_loop_lag_seconds", "Longest event loop delay within the last 60 seconds, in seconds."
)
STORAGE_UP: Final = _gauge(
    "rtcmpu_exporter_storage_up",
    "1 if the database could be used at the last attempt, else 0; absent without `storage`.",
)
STORAGE_WRITE_LAG: Final = _gauge(
    "rtcmpu_exporter_storage_write_lag_seconds",
    "Age of the oldest reading that is not in the database yet, in seconds.",
)
STORAGE_SIZE: Final = _gauge(
    "rtcmpu_exporter_storage_size_bytes",
    "Size of the database on its disk, indexes and write-ahead log included, in bytes.",
)
STORAGE_CHANGES_LOST: Final = _counter(
    "rtcmpu_exporter_storage_changes_lost_total",
    "Changes of tasks that were not written to the database because too many waited for it, since the start.",
)
LEASE_HELD: Final = _gauge(
    "rtcmpu_exporter_lease_held",
    "1 if this exporter holds the lease of the account's request budget, else 0; absent without `sharing`.",
    labels.ACCOUNT,
)
LEASE_TAKEOVERS: Final = _counter(
    "rtcmpu_exporter_lease_takeovers_total",
    "How often this exporter took the lease of the account's request budget, since the start.",
    labels.ACCOUNT,
)
LEASE_UNHELD: Final = _gauge(
    "rtcmpu_exporter_lease_unheld_seconds",
    "Time since any exporter held the lease of the account's request budget, as far as this one knows, in seconds.",
    labels.ACCOUNT,
)
INTERNAL_ERRORS: Final = _counter(
    "rtcmpu_exporter_internal_errors_total",
    "Unexpected exceptions in the exporter since the start; each is a bug.",
    labels.PART,
    note="The log has a traceback of the first one in each place.",
)
HTTP_REQUESTS: Final = _counter(
    "rtcmpu_exporter_http_requests_total",
    "HTTP requests answered since the start.",
    labels.PATH,
    Label("code", meaning="The HTTP status."),
)
LOG_MESSAGES: Final = _counter(
    "rtcmpu_exporter_log_messages_total", "Log messages written since the start.", labels.LEVEL
)

RULE_FAMILIES: Final = (RULE_INFO, EXEMPTION_EXPIRY)  # in the order of the exposition
EXPORTER_FAMILIES: Final = tuple(
    value for value in tuple(vars().values()) if isinstance(value, Declaration) and value not in RULE_FAMILIES
)
"""In the order of the exposition, which is that of this file."""


_MAKERS: Final[dict[str, Any]] = {"counter": Counter, "gauge": Gauge, "histogram": Histogram, "info": Info}
_COUNTED_ELSEWHERE: Final = (STORAGE_CHANGES_LOST, LEASE_TAKEOVERS)


class OwnFamilies:
    """The declared families, in the order of the exposition, with the lines of those that have not changed."""

    def __init__(self) -> None:
        self.changing = Lock()
        """Of what changes together: a rendering sees all of it or nothing. It is held briefly: the event loop waits."""
        self._metrics: dict[Declaration, Any] = {}
        self._changed: set[Declaration] = set()
        for each in (*RULE_FAMILIES, *EXPORTER_FAMILIES):
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

    def count(self, declaration: Declaration, *values: str | int) -> None:
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
    (API_REQUESTS, labels.OUTCOME),
    (API_RETRIES, labels.RETRY_REASON),
    (RATE_LIMIT_WAIT, labels.PRIORITY),
)


class AccountMetrics:
    """Counts for one account; what comes after the account was removed is dropped."""

    def __init__(self, families: OwnFamilies, account: str) -> None:
        self._families = families
        self._account = account
        families.add(API_THROTTLED, account)
        families.add(API_REQUEST_DURATION, account)
        for declaration, label in _COUNTED_BY_ACCOUNT:
            for value in label.values:
                families.add(declaration, account, value)

    def request_finished(self, outcome: State, seconds: float) -> None:
        """Count one attempt of a request, and how long it took."""
        self._families.count(API_REQUESTS, self._account, outcome)
        self._families.observe(API_REQUEST_DURATION, seconds, self._account)

    def retried(self, reason: State) -> None:
        """Count a request that is sent again, by how the attempt before ended."""
        self._families.count(API_RETRIES, self._account, reason)

    def throttled(self) -> None:
        """Count an answer that asks for fewer requests."""
        self._families.count(API_THROTTLED, self._account)

    def waited(self, priority: str, seconds: float) -> None:
        """Count how long a request waited for its turn; `priority` is a value of the label."""
        self._families.observe(RATE_LIMIT_WAIT, seconds, self._account, priority)

    def rate(self, requests_per_second: float) -> None:
        """Publish the request budget that is in force."""
        self._families.set(RATE_LIMIT_REQUESTS_PER_SECOND, requests_per_second, self._account)

    def clock_skew(self, seconds: float) -> None:
        """Publish the API's clock minus this machine's."""
        self._families.set(CLOCK_SKEW, seconds, self._account)

    def credentials_in_use(self, source: str, expires_at: float | None) -> None:
        """Publish the source of the credentials in use, and when they expire, in seconds since 1970; None: never."""
        with self._families.changing:
            self._forget_credentials()
            self._families.add(CREDENTIALS_INFO, self._account, source)
            if expires_at is not None:
                self._families.set(CREDENTIALS_EXPIRY, expires_at, self._account)

    def credentials_unknown(self) -> None:
        """Publish nothing about credentials until others are in use."""
        with self._families.changing:
            self._forget_credentials()

    def remove(self) -> None:
        """Drop all that is known about the account and its apps."""
        with self._families.changing:
            self._families.forget_account(self._account)
        self._families = OwnFamilies()

    def _forget_credentials(self) -> None:
        self._families.forget(CREDENTIALS_EXPIRY, self._account)
        for source in labels.CREDENTIALS_SOURCE.values:
            self._families.forget(CREDENTIALS_INFO, self._account, source)


class SelfMetrics(OwnFamilies):
    """The exporter's own metrics. `message_logged` and `render` may be called from any thread."""

    def __init__(self, version: str = __version__) -> None:
        super().__init__()
        self._accounts: dict[str, AccountMetrics] = {}
        self._apps: set[tuple[str, str]] = set()
        self.add(BUILD_INFO, version, revision(), platform.python_version())
        for declaration, label in ((LOG_MESSAGES, labels.LEVEL), (INTERNAL_ERRORS, labels.PART)):
            for value in label.values:
                self.add(declaration, value)

    def config_loaded(self, sha256: str, timestamp: float, *, unmatched_patterns: int = 0) -> None:
        """Publish that a configuration is in force since `timestamp` (seconds since 1970)."""
        with self.changing:
            self.forget(CONFIG_INFO)
            self.add(CONFIG_INFO, sha256)
            self.set(CONFIG_LAST_RELOAD_SUCCESSFUL, 1)
            self.set(CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP, timestamp)
            self.set(CONFIG_UNMATCHED_PATTERNS, unmatched_patterns)

    def rules_loaded(self, rules: Iterable[Rule]) -> None:
        """Publish the rules that are in force, each name once, and no others."""
        with self.changing:
            self.forget(RULE_INFO)
            self.forget(EXEMPTION_EXPIRY)
            for rule in rules:
                self.add(RULE_INFO, rule.name, rule.severity, rule.title, rule.owner, rule.runbook_url)
                for exemption in rule.exempt:
                    if exemption.until is not None:
                        self.set(EXEMPTION_EXPIRY, exemption.ends_at, rule.name, exemption.name)

    def add_account(self, account: str) -> AccountMetrics:
        """Publish an account, or continue its counts; return where its requests are counted."""
        if account not in self._accounts:
            self._accounts[account] = AccountMetrics(self, account)
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
            self.add(SWEEPS_SKIPPED, account, app_id, reason)

    def remove_app(self, account: str, app_id: str) -> None:
        """Withdraw an app."""
        self._apps.discard((account, app_id))
        for reason in labels.SKIP_REASON.values:
            self.forget(SWEEPS_SKIPPED, account, app_id, reason)

    def sweep_skipped(self, account: str, app_id: str, reason: str) -> None:
        """Count a sweep that was due and did not start; `reason` is a value of the label."""
        if (account, app_id) in self._apps:
            self.count(SWEEPS_SKIPPED, account, app_id, reason)

    def storage(self, writer: Writer | None) -> None:
        """Publish the state of the database; nothing without one."""
        with self.changing:
            self.set(STORAGE_UP, nan if writer is None else writer.up)
            self.set(STORAGE_WRITE_LAG, nan if writer is None else writer.lag_seconds)
            self.set(STORAGE_SIZE, (writer and writer.size_bytes) or nan)
            self.set(STORAGE_CHANGES_LOST, nan if writer is None else writer.changes_lost)

    def lease(self, account: str, *, is_held: bool, takeovers: int, unheld_seconds: float) -> None:
        """Publish the state of the lease of an account's budget."""
        if account in self._accounts:
            with self.changing:
                self.set(LEASE_HELD, is_held, account)
                self.set(LEASE_TAKEOVERS, takeovers, account)
                self.set(LEASE_UNHELD, unheld_seconds, account)

    def no_leases(self) -> None:
        """Publish nothing about leases."""
        with self.changing:
            for declaration in (LEASE_HELD, LEASE_TAKEOVERS, LEASE_UNHELD):
                self.forget(declaration)

    def rendered(self, path: str, *, seconds: float, series: int) -> None:
        """Publish how long a rendering took and how many series there are on its path."""
        self.set(RENDER_DURATION, seconds, path)
        self.set(SERIES, series, path)

    def path_closed(self, path: str) -> None:
        """Withdraw the series of a path."""
        for declaration in (RENDER_DURATION, SERIES, SERIES_OMITTED):
            self.forget(declaration, path)

    def message_logged(self, level: str) -> None:
        """Count a log message that was shown, from any thread."""
        self.count(LOG_MESSAGES, level)

    def internal_error(self, part: str) -> None:
        """Count an exception that nothing expected; `part` is a value of the label."""
        self.count(INTERNAL_ERRORS, part)
