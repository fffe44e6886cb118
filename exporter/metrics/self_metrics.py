"""What the exporter knows about itself: counted by all layers, rendered anew for each scrape."""

import platform
from collections.abc import Iterable
from threading import Lock

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from exporter.metrics import exporter_families as families
from exporter.metrics.account_metrics import AccountMetrics, AccountTables
from exporter.metrics.labels import LEVEL, PART
from exporter.metrics.rule_metrics import RuleTables
from exporter.metrics.tables import Table
from exporter.metrics.text import layout, render_metrics, sections
from exporter.policy.rule import Rule

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
        self._web_reload_successful = Table(families.WEB_CONFIG_LAST_RELOAD_SUCCESSFUL)
        self._accounts = AccountTables()
        self._render_duration = Table(families.RENDER_DURATION)
        self._series = Table(families.SERIES)
        self._series_omitted = Table(families.SERIES_OMITTED)
        self.event_loop_lag = Table(families.EVENT_LOOP_LAG)
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
            self._web_reload_successful,
            *self._accounts.tables,
            self._render_duration,
            self._series,
            self._series_omitted,
            self.event_loop_lag,
            self._internal_errors,
            self._http_requests,
            self._log_messages,
        )
        self._tables = [(table, layout(table.declaration)) for table in tables]
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)
        PlatformCollector(registry=self._process)
        GCCollector(registry=self._process)
        self._build_info.set(1, version, platform.python_version())
        for level in LEVEL.values:
            self._log_messages.begin(level)
        for part in PART.values:
            self._internal_errors.begin(part)

    def config_loaded(self, sha256: str, timestamp: float) -> None:
        """Publish that a configuration is in force since `timestamp` (seconds since 1970)."""
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
