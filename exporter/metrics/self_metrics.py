"""What the exporter knows about itself: counted by all layers with the official client, in a registry of its own."""

import platform
from collections.abc import Collection, Iterable, Mapping
from itertools import accumulate, product
from math import isnan, nan
from threading import Lock
from typing import Any, Final, TypeAlias

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
from exporter.metrics.family import Declaration, Distribution, LabelValues
from exporter.metrics.labels import (
    ACCOUNT,
    APP_ID,
    CREDENTIALS_SOURCE,
    LEVEL,
    OUTCOME,
    PART,
    PRIORITY,
    RETRY_REASON,
    SKIP_REASON,
)
from exporter.metrics.policy_families import EXEMPTION_EXPIRY, RULE_FAMILIES, RULE_INFO
from exporter.metrics.text import headers, render_metrics, sections
from exporter.rules.rule import Rule
from exporter.storage.writer import Writer

_Values: TypeAlias = dict[LabelValues, float | Distribution]

_COUNTED_ELSEWHERE: Final = (declared.STORAGE_CHANGES_LOST, declared.LEASE_TAKEOVERS)


class _Families:
    """The declared families, in the order of the exposition, by their declarations."""

    def __init__(self) -> None:
        self.changing = Lock()
        """Of what changes together: a rendering sees all of it or nothing. It is held briefly: the event loop waits."""
        self.counters: dict[Declaration, Counter] = {}
        self.gauges: dict[Declaration, Gauge] = {}
        self.histograms: dict[Declaration, Histogram] = {}
        self.infos: dict[Declaration, Info] = {}
        for each in (*RULE_FAMILIES, *declared.EXPORTER_FAMILIES):
            about = (each.openmetrics_name, each.documentation, each.label_names)
            if each.kind == "counter":
                self.counters[each] = Counter(*about, registry=None)
            elif each.kind == "info":
                self.infos[each] = Info(*about, registry=None)
            elif each.kind == "histogram":
                self.histograms[each] = Histogram(*about, registry=None, buckets=each.buckets)
            else:
                self.gauges[each] = Gauge(*about, registry=None)
            if not each.labels:
                self.set(each, nan)
        by_kind: dict[Declaration, Any] = {**self.counters, **self.gauges, **self.histograms, **self.infos}
        self.all = {each: by_kind[each] for each in (*RULE_FAMILIES, *declared.EXPORTER_FAMILIES)}
        self._process = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._process)
        self._rendering = Lock()
        self._known: dict[Declaration, dict[LabelValues, tuple[float | Distribution, bytes]]] = {}

    def set(self, declaration: Declaration, value: float, *labels: str) -> None:
        """Let a gauge, or a counter that is counted elsewhere, have a value; NaN: it is absent."""
        family = self.counters.get(declaration) or self.gauges[declaration]
        series = family.labels(*labels) if labels else family
        if isinstance(series, Gauge):
            series.set(value)
        else:
            series.reset()
            series.inc(value)

    def forget(self, declaration: Declaration, *labels: str) -> None:
        """Drop a series, if it is there."""
        # Not `remove`, which looks at the environment twice: thousands of series are dropped at once.
        self.all[declaration]._metrics.pop(labels, None)  # noqa: SLF001

    def forget_account(self, account: str, apps: Collection[str]) -> None:
        """Drop the series of an account and of its apps."""
        for declaration in self.all:
            if ACCOUNT in declaration.labels:
                others = (apps if label is APP_ID else label.values for label in declaration.labels[1:])
                for labels in product((account,), *others):
                    self.forget(declaration, *labels)

    def render(self) -> tuple[bytes, bytes]:
        """Return all families as they are now, in the text format and in OpenMetrics."""
        with self._rendering:
            with self.changing:
                children = {declaration: _children(declaration, family) for declaration, family in self.all.items()}
                together = (*self.gauges, *self.infos, *_COUNTED_ELSEWHERE)
                values = {declaration: _values(declaration, children.pop(declaration)) for declaration in together}
            values |= {declaration: _values(declaration, series) for declaration, series in children.items()}
            text: list[bytes] = []
            openmetrics: list[bytes] = []
            for declaration in self.all:
                lines = self._lines(declaration, values[declaration])
                text += (headers(declaration, openmetrics=False)[0][0], lines)
                openmetrics += (headers(declaration, openmetrics=True)[0][0], lines)
            process = list(self._process.collect())
            text.append(render_metrics(process, openmetrics=False))
            openmetrics.append(render_metrics(process, openmetrics=True))
            return b"".join(text), b"".join(openmetrics)

    def _lines(self, declaration: Declaration, values: _Values) -> bytes:
        """Return a family's lines: those of the last rendering where a value has not changed."""
        before = self._known.get(declaration, {})
        known: dict[LabelValues, tuple[float | Distribution, bytes]] = {}
        for labels, value in values.items():
            entry = before.get(labels)
            if entry is None or entry[0] != value:
                entry = (value, sections(declaration, ((labels, value),))[0])
            known[labels] = entry
        self._known[declaration] = known
        return b"".join([lines for _, lines in known.values()])


# The official way to the values makes objects for each sample, which takes many times as long.
def _children(declaration: Declaration, family: Any) -> dict[LabelValues, Any]:
    """Return the children of a family as they are now, by the values of their labels."""
    return dict(family._metrics) if declaration.labels else {(): family}  # noqa: SLF001


def _values(declaration: Declaration, children: Mapping[LabelValues, Any]) -> _Values:
    """Return the values of a family's children, without what is absent."""
    if declaration.kind == "info":
        return dict.fromkeys(children, 1)
    if declaration.kind == "histogram":
        return {labels: _distribution(declaration, child) for labels, child in children.items()}
    values = {labels: child._value.get() for labels, child in children.items()}  # noqa: SLF001
    return {labels: value for labels, value in values.items() if not isnan(value)}


def _distribution(declaration: Declaration, child: Any) -> Distribution:
    counts = tuple(accumulate(bucket.get() for bucket in child._buckets))  # noqa: SLF001
    return Distribution(declaration.buckets, counts, child._sum.get())  # noqa: SLF001


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

    def remove(self, apps: Collection[str]) -> None:
        """Drop all that is known about the account and its apps."""
        self._is_removed = True
        with self._families.changing:
            self._families.forget_account(self._account, apps)

    def _set(self, declaration: Declaration, value: float) -> None:
        if not self._is_removed:
            self._families.set(declaration, value, self._account)

    def _forget_credentials(self) -> None:
        self._families.forget(declared.CREDENTIALS_EXPIRY, self._account)
        for source in CREDENTIALS_SOURCE.values:
            self._families.forget(declared.CREDENTIALS_INFO, self._account, source)


class SelfMetrics:
    """The exporter's own metrics. `message_logged` and `render` may be called from any thread."""

    def __init__(self, *, version: str) -> None:
        self._families = _Families()
        self._accounts: dict[str, AccountMetrics] = {}
        self._apps: dict[str, set[str]] = {}
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
        apps = self._apps.pop(account, set())
        if (removed := self._accounts.pop(account, None)) is not None:
            removed.remove(apps)

    def add_app(self, account: str, app_id: str) -> None:
        """Publish an app; the counts of one that is already published continue."""
        self._apps.setdefault(account, set()).add(app_id)
        for reason in SKIP_REASON.values:
            self._families.counters[declared.SWEEPS_SKIPPED].labels(account, app_id, reason)

    def remove_app(self, account: str, app_id: str) -> None:
        """Withdraw an app."""
        self._apps.get(account, set()).discard(app_id)
        for reason in SKIP_REASON.values:
            self._families.forget(declared.SWEEPS_SKIPPED, account, app_id, reason)

    def sweep_skipped(self, account: str, app_id: str, reason: str) -> None:
        """Count a sweep that was due and did not start; `reason` is a value of the label."""
        if app_id in self._apps.get(account, ()):
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
        with self._families.changing:
            for declaration in (declared.LEASE_HELD, declared.LEASE_TAKEOVERS, declared.LEASE_UNHELD):
                self._families.all[declaration].clear()

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
        self._families.counters[declared.HTTP_REQUESTS].labels(path, str(code)).inc()

    def message_logged(self, level: str) -> None:
        """Count a log message that was shown, from any thread."""
        self._families.counters[declared.LOG_MESSAGES].labels(level).inc()

    def internal_error(self, part: str) -> None:
        """Count an exception that nothing expected; `part` is a value of the label."""
        self._families.counters[declared.INTERNAL_ERRORS].labels(part).inc()

    def render(self) -> tuple[bytes, bytes]:
        """Return all of them as they are now, in the text format and in OpenMetrics."""
        return self._families.render()
