"""What the exporter knows about itself: counted by all layers, rendered again for each scrape."""

import platform
from collections.abc import Iterable
from threading import Lock
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from exporter import revision
from exporter.core.collection_state import State
from exporter.metrics import exporter_families as families
from exporter.metrics.family import HistogramTable, Table
from exporter.metrics.labels import FAILURES, LEVEL, OUTCOMES, PART, PRIORITY, SKIP_REASON
from exporter.metrics.policy_families import RuleTables
from exporter.metrics.text import layout, render_metrics, sections
from exporter.rules.rule import Rule
from exporter.storage.writer import Writer

REQUEST_SECONDS: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
WAIT_SECONDS: Final = (0.01, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class AccountTables:
    """The families whose first label is the account."""

    def __init__(self) -> None:
        self.requests = Table(families.API_REQUESTS)
        self.retries = Table(families.API_RETRIES)
        self.throttled = Table(families.API_THROTTLED)
        self.durations = HistogramTable(families.API_REQUEST_DURATION, REQUEST_SECONDS)
        self.waits = HistogramTable(families.RATE_LIMIT_WAIT, WAIT_SECONDS)
        self.rates = Table(families.RATE_LIMIT_REQUESTS_PER_SECOND)
        self.skipped = Table(families.SWEEPS_SKIPPED)
        self.clock_skews = Table(families.CLOCK_SKEW)
        self.credentials = Table(families.CREDENTIALS_INFO)
        self.credentials_expiries = Table(families.CREDENTIALS_EXPIRY)
        self.leases = tuple(map(Table, (families.LEASE_HELD, families.LEASE_TAKEOVERS, families.LEASE_UNHELD)))
        self.accounts: set[str] = set()

    @property
    def tables(self) -> tuple[Table | HistogramTable, ...]:
        """All of them, in the order of the exposition; those of leases have a place of their own."""
        return (
            self.requests,
            self.retries,
            self.throttled,
            self.durations,
            self.waits,
            self.rates,
            self.skipped,
            self.clock_skews,
            self.credentials,
            self.credentials_expiries,
        )

    def add_account(self, account: str) -> None:
        """Begin all counters of an account."""
        self.accounts.add(account)
        for outcome in OUTCOMES:
            self.requests.begin(account, outcome)
        for reason in FAILURES:
            self.retries.begin(account, reason)
        self.throttled.begin(account)
        self.durations.begin(account)
        for priority in PRIORITY.values:
            self.waits.begin(account, priority)

    def remove_account(self, account: str) -> None:
        """Drop all that is known about an account and its apps."""
        self.accounts.discard(account)
        for table in (*self.tables, *self.leases):
            table.forget(account)

    def add_app(self, account: str, app_id: str) -> None:
        """Begin all counters of an app."""
        for reason in SKIP_REASON.values:
            self.skipped.begin(account, app_id, reason)

    def remove_app(self, account: str, app_id: str) -> None:
        """Drop all that is known about an app."""
        self.skipped.forget(account, app_id)


class AccountMetrics:
    """Counts for one account; what comes after the account was removed is dropped."""

    def __init__(self, tables: AccountTables, account: str) -> None:
        self._tables = tables
        self._account = account

    def request_finished(self, outcome: State, seconds: float) -> None:
        """Count one attempt of a request, and how long it took."""
        self._tables.requests.count(self._account, outcome)
        self._tables.durations.observe(seconds, self._account)

    def retried(self, reason: State) -> None:
        """Count a request that is sent again, by how the attempt before ended."""
        self._tables.retries.count(self._account, reason)

    def throttled(self) -> None:
        """Count an answer that asks for fewer requests."""
        self._tables.throttled.count(self._account)

    def waited(self, priority: str, seconds: float) -> None:
        """Count how long a request waited for its turn; `priority` is a value of the label."""
        self._tables.waits.observe(seconds, self._account, priority)

    def rate(self, requests_per_second: float) -> None:
        """Publish the request budget that is in force."""
        self._publish(self._tables.rates, requests_per_second)

    def clock_skew(self, seconds: float) -> None:
        """Publish the API's clock minus this machine's."""
        self._publish(self._tables.clock_skews, seconds)

    def credentials_in_use(self, source: str, expires_at: float | None) -> None:
        """Publish which credentials are in use.

        Args:
            source: A value of the label.
            expires_at: In seconds since 1970; None: they do not expire.
        """
        self.credentials_unknown()
        if self._account in self._tables.accounts:
            self._tables.credentials.set(1, self._account, source)
        if expires_at is not None:
            self._publish(self._tables.credentials_expiries, expires_at)

    def credentials_unknown(self) -> None:
        """Publish nothing about credentials until others are in use."""
        self._tables.credentials.forget(self._account)
        self._tables.credentials_expiries.forget(self._account)

    def _publish(self, table: Table, value: float) -> None:
        """Set a gauge of the account while it is one."""
        if self._account in self._tables.accounts:
            table.set(value, self._account)


__all__ = ["AccountMetrics", "SelfMetrics"]


class SelfMetrics:
    """The exporter's own metrics. All but `message_logged` is for one thread.

    Args:
        version: The exporter's version.
    """

    def __init__(self, *, version: str) -> None:
        self._rules = RuleTables()
        self._build_info = Table(families.BUILD_INFO)
        self._config_info = Table(families.CONFIG_INFO)
        self._reload_successful = Table(families.CONFIG_LAST_RELOAD_SUCCESSFUL)
        self._reload_success_time = Table(families.CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP)
        self._unmatched_patterns = Table(families.CONFIG_UNMATCHED_PATTERNS)
        self._web_reload_successful = Table(families.WEB_CONFIG_LAST_RELOAD_SUCCESSFUL)
        self._accounts = AccountTables()
        self._render_duration = Table(families.RENDER_DURATION)
        self._series = Table(families.SERIES)
        self._series_omitted = Table(families.SERIES_OMITTED)
        self.event_loop_lag = Table(families.EVENT_LOOP_LAG)
        self._storage_up = Table(families.STORAGE_UP)
        self._storage_lag = Table(families.STORAGE_WRITE_LAG)
        self._storage_size = Table(families.STORAGE_SIZE)
        self._storage_lost = Table(families.STORAGE_CHANGES_LOST)
        self._internal_errors = Table(families.INTERNAL_ERRORS)
        self._http_requests = Table(families.HTTP_REQUESTS)
        self._log_messages = Table(families.LOG_MESSAGES)
        self._logging = Lock()
        tables = (
            *self._rules.tables,
            self._build_info,
            self._config_info,
            self._reload_successful,
            self._reload_success_time,
            self._unmatched_patterns,
            self._web_reload_successful,
            *self._accounts.tables,
            self._render_duration,
            self._series,
            self._series_omitted,
            self.event_loop_lag,
            self._storage_up,
            self._storage_lag,
            self._storage_size,
            self._storage_lost,
            *self._accounts.leases,
            self._internal_errors,
            self._http_requests,
            self._log_messages,
        )
        self._tables = [(table, layout(table.declaration)) for table in tables]
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)
        GCCollector(registry=self._process)
        self._build_info.set(1, version, revision(), platform.python_version())
        for level in LEVEL.values:
            self._log_messages.begin(level)
        for part in PART.values:
            self._internal_errors.begin(part)

    def config_loaded(self, sha256: str, timestamp: float, *, unmatched_patterns: int = 0) -> None:
        """Publish that a configuration is in force since `timestamp` (seconds since 1970)."""
        self._unmatched_patterns.set(unmatched_patterns)
        self._config_info.forget()
        self._config_info.set(1, sha256)
        self._reload_successful.set(1)
        self._reload_success_time.set(timestamp)

    def config_rejected(self) -> None:
        """Publish that a new configuration was refused and the one before stays in force."""
        self._reload_successful.set(0)

    def web_config_loaded(self, is_in_force: bool) -> None:
        """Publish whether the web configuration, as it was last read, is in force or was refused."""
        self._web_reload_successful.set(int(is_in_force))

    def rules_loaded(self, rules: Iterable[Rule]) -> None:
        """Publish the rules that are in force, each name once, and no others."""
        self._rules.replace(rules)

    def add_account(self, account: str) -> AccountMetrics:
        """Begin to publish an account, and return where its requests are counted.

        An account that is there already goes on counting.
        """
        self._accounts.add_account(account)
        return AccountMetrics(self._accounts, account)

    def remove_account(self, account: str) -> None:
        """Publish nothing more about an account and its apps."""
        self._accounts.remove_account(account)

    def add_app(self, account: str, app_id: str) -> None:
        """Begin to publish an app; one that is there already goes on counting."""
        self._accounts.add_app(account, app_id)

    def remove_app(self, account: str, app_id: str) -> None:
        """Publish nothing more about an app."""
        self._accounts.remove_app(account, app_id)

    def sweep_skipped(self, account: str, app_id: str, reason: str) -> None:
        """Count a sweep that was due and did not start; `reason` is a value of the label."""
        self._accounts.skipped.count(account, app_id, reason)

    def storage(self, writer: Writer | None) -> None:
        """Publish the state of the database; nothing without one."""
        if writer is None:
            for table in (self._storage_up, self._storage_lag, self._storage_size, self._storage_lost):
                table.forget()
            return
        self._storage_up.set(int(writer.up))
        self._storage_lag.set(writer.lag_seconds)
        self._storage_lost.set(writer.changes_lost)
        if writer.size_bytes:
            self._storage_size.set(writer.size_bytes)

    def lease(self, account: str, *, is_held: bool, takeovers: int, unheld_seconds: float) -> None:
        """Publish the state of the lease of an account's budget."""
        if account in self._accounts.accounts:
            for table, value in zip(self._accounts.leases, (int(is_held), takeovers, unheld_seconds), strict=True):
                table.set(value, account)

    def no_leases(self) -> None:
        """Publish nothing about leases."""
        for table in self._accounts.leases:
            table.forget()

    def rendered(self, path: str, *, seconds: float, series: int) -> None:
        """Publish how long a rendering took and how many series there are on its path."""
        self._render_duration.set(seconds, path)
        self._series.set(series, path)

    def omitted(self, path: str, *, series: int) -> None:
        """Publish how many series a configured limit keeps from a path."""
        self._series_omitted.set(series, path)

    def path_closed(self, path: str) -> None:
        """Publish nothing more about the series on a path."""
        self._render_duration.forget(path)
        self._series.forget(path)
        self._series_omitted.forget(path)

    def request_answered(self, path: str, code: int) -> None:
        """Count an HTTP request by its route's template and its answer's status."""
        self._http_requests.begin(path, str(code))
        self._http_requests.count(path, str(code))

    def message_logged(self, level: str) -> None:
        """Count a log message that was shown, from any thread."""
        with self._logging:
            self._log_messages.count(level)

    def internal_error(self, part: str) -> None:
        """Count an exception that nothing expected; `part` is a value of the label."""
        self._internal_errors.count(part)

    def render(self, *, openmetrics: bool) -> bytes:
        """Return all of them as they are now."""
        lines: list[bytes] = []
        for table, table_layout in self._tables:
            part = (table_layout.openmetrics if openmetrics else table_layout.text)[0]
            lines += (part.header, *sections(table.declaration, table.samples()))
        lines.append(render_metrics(self._process.collect(), openmetrics=openmetrics))
        return b"".join(lines)
