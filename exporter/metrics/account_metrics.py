"""What is counted about the requests of each account, and about the turns of its apps."""

from typing import Final

from exporter.metrics import exporter_families as families
from exporter.metrics.labels import FAILURES, OUTCOMES, PRIORITY, SKIP_REASON
from exporter.metrics.tables import HistogramTable, Table
from exporter.state import State

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
        self.accounts: set[str] = set()

    @property
    def tables(self) -> tuple[Table | HistogramTable, ...]:
        """All of them, in the order of the exposition."""
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
        for table in self.tables:
            table.forget(account)

    def add_app(self, account: str, app_id: str) -> None:
        """Begin all counters of an app."""
        for reason in SKIP_REASON.values:
            self.skipped.begin(account, app_id, reason)

    def remove_app(self, account: str, app_id: str) -> None:
        """Drop all that is known about an app."""
        self.skipped.forget(account, app_id)


class AccountMetrics:
    """Counts for one account; what it is told after the account was removed is lost."""

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
