"""The fleet of the demonstration: apps of all sizes in two accounts, always a little in motion, not all of it well."""

import time
from collections.abc import Callable, Collection
from random import Random
from typing import Final

from msgspec import Struct

from exporter.simulator.churn import Rates
from exporter.simulator.fleet import Fleet
from exporter.simulator.generation import SECONDS_BETWEEN_FIRST_UPDATES, TEMPLATES, TaskMaker, populate
from exporter.simulator.latency import Latency
from exporter.simulator.message import Account
from exporter.simulator.oddities import MISCONFIGURATIONS, ODD_VALUES
from exporter.simulator.seeding import seeded
from exporter.simulator.service import Service

EVENTS_PER_SECOND: Final = 3.0
_ODD_TASKS_UPDATED_BEFORE_SECONDS: Final = 3600.0


class DemoApp(Struct, frozen=True):
    """One app of the demonstration."""

    id: str
    name: str
    owner: str
    tasks: int
    quota_single: int | None = 200
    """None: no quota."""
    quota_mixed: int | None = 40
    mixed_share: float = 0.85
    region: str | None = None
    """Of all its tasks; None: they are in several."""
    misconfigurations: Collection[str] = ()
    with_odd_values: bool = False


class DemoAccount(Struct, frozen=True):
    """One account of the demonstration."""

    name: str
    access_key_id: str
    access_key_secret: str
    apps: tuple[DemoApp, ...]


class Demo(Struct, frozen=True):
    """The service and who may ask it for what: all that a configuration for it needs."""

    service: Service
    accounts: tuple[DemoAccount, ...]


ACCOUNTS: Final = (
    DemoAccount(
        "production",
        "demo-production-key-id",
        "demo-production-key-secret",
        (
            DemoApp("live-main", "Main stage", "live-ops", 1500, 2000, 4000, misconfigurations=MISCONFIGURATIONS),
            DemoApp("live-events", "Events", "live-ops", 240, 400, 800, with_odd_values=True),
            DemoApp("education", "Classrooms", "education", 39, mixed_share=1.0, region="CN-Shanghai"),
            DemoApp("relay-only", "Partner relay", "partners", 120, mixed_share=0.0),
        ),
    ),
    DemoAccount(
        "staging",
        "demo-staging-key-id",
        "demo-staging-key-secret",
        (
            DemoApp(
                "staging-stage",
                "Main stage (staging)",
                "platform",
                12,
                None,
                None,
                region="CN-Shanghai",
                misconfigurations=("wrong_region", "foreign_push_host", "no_idle_timeout"),
            ),
            DemoApp("sandbox", "Sandbox", "", 0),
        ),
    ),
)
"""The keys are documented values of a local service."""


def demo_service(*, now: Callable[[], float] = time.time, seed: int = 1) -> Demo:
    """Return the service of the demonstration, with its churn already on."""
    fleet = Fleet(now)
    started_at = now()
    for account in ACCOUNTS:
        for app in account.apps:
            random = seeded(seed, app.id)
            # The odd ones are made first, so that they are far down the list.
            _add_odd_tasks(fleet, app, random, started_at)
            populate(
                fleet,
                app.id,
                app.tasks,
                random=random,
                started_at=started_at,
                mixed_share=app.mixed_share,
                region=app.region,
            )
    accounts = [
        Account(account.access_key_id, account.access_key_secret, tuple(app.id for app in account.apps))
        for account in ACCOUNTS
    ]
    service = Service(accounts, fleet, now=now, seed=seed, latency=Latency(0.01, 0.01))
    service.churn.set_rates(Rates.mixture(EVENTS_PER_SECOND), started_at)
    return Demo(service, ACCOUNTS)


def _add_odd_tasks(fleet: Fleet, app: DemoApp, random: Random, started_at: float) -> None:
    """Add one or more of each kind of misconfigured or odd task that the app is to have."""
    fleet.add_app(app.id)
    maker = TaskMaker(random)
    changes = {
        **{name: MISCONFIGURATIONS[name] for name in app.misconfigurations},
        **(ODD_VALUES if app.with_odd_values else {}),
    }
    oldest = started_at - SECONDS_BETWEEN_FIRST_UPDATES * app.tasks - _ODD_TASKS_UPDATED_BEFORE_SECONDS
    for place, (name, change) in enumerate(changes.items()):
        for copy in range(2 if app.misconfigurations else 1):
            body = change(maker.mixed(app.id, TEMPLATES[0]))
            fleet.create(app.id, body, marks=(name,), at=oldest + place + copy / 2)
