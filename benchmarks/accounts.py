"""The exporter's own way to a simulated account, put together as the daemon does it."""

import random
from pathlib import Path

from exporter import __version__
from exporter.collector.rate_limiter import Limiter
from exporter.config.model import AccessKey, Account, App
from exporter.core.clock import SystemClock
from exporter.core.secret import Secret
from exporter.metrics.self_metrics import SelfMetrics
from exporter.service.accounts import Access

REQUESTS_PER_SECOND = 50
REQUEST_TIMEOUT_SECONDS = 10.0


def account_at(url: str, app_ids: tuple[str, ...], *, number: int = 1, ca_file: Path | None = None) -> Account:
    """Return the configuration of an account of a simulated service; they are counted from 1."""
    return Account(
        name=f"bench-{number}",
        endpoint=url,
        requests_per_second=REQUESTS_PER_SECOND,
        ca_file=ca_file,
        credentials=AccessKey(access_key_id=f"key-{number}", access_key_secret=Secret("secret")),
        apps=tuple(App(id=app_id) for app_id in app_ids),
    )


def access_to(account: Account) -> Access:
    """Open an account."""
    clock = SystemClock()
    return Access(
        account,
        Limiter(account.requests_per_second, clock=clock),
        SelfMetrics(version=__version__).add_account(account.name),
        request_timeout_seconds=REQUEST_TIMEOUT_SECONDS,
        clock=clock,
        rng=random.Random(),  # noqa: S311 - pauses, not secrets
    )
