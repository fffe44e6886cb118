"""The services that `simulate` and `demo` start."""

import time
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Final

import msgspec
from msgspec import Struct

from exporter.simulator.faults import FAULTS, Fault
from exporter.simulator.fleet import MAX_EVENTS_PER_SECOND, SECONDS_BETWEEN_FIRST_UPDATES, Fleet, Rates, populate
from exporter.simulator.listing import VARIANT_DESCRIPTIONS, Variants
from exporter.simulator.protocol import SimulatedAccount
from exporter.simulator.service import Latency, Service
from exporter.simulator.task_maker import LIFETIMES, MISCONFIGURATIONS, ODD_VALUES, TEMPLATES, TaskMaker, seeded, signed

MOST_TASKS: Final = 1_000_000  # of all apps: more would never be made, or take all memory

DESCRIPTIONS: Final[Mapping[str, Mapping[str, str]]] = {
    "fault": {name: fault.description for name, fault in FAULTS.items()},
    "variant": VARIANT_DESCRIPTIONS,
}
"""A line for each fault and each variant."""

ACCESS_KEY_ID: Final = "simulator-key-id"
ACCESS_KEY_SECRET: Final = "simulator-key-secret"  # noqa: S105 - the documented key of a local service


class SimulatorOptions(Struct, frozen=True):
    """One account with some apps of equal size."""

    apps: int = 3
    tasks: int = 100  # of each app, at the start
    churn: float = 1.0  # events per second over all apps
    seed: int = 1
    requests_per_second: int = 50
    faults: tuple[str, ...] = ()  # each `NAME=RATE`, or `NAME` for every request
    variants: tuple[str, ...] = ()  # each `NAME=VALUE`
    latency_seconds: float = 0.02  # of a round trip, at least
    jitter_seconds: float = 0.02  # of a round trip, at most that much more

    @property
    def app_ids(self) -> tuple[str, ...]:
        """The AppIds of the apps."""
        return tuple(f"app-{number}" for number in range(1, self.apps + 1))


def build_service(options: SimulatorOptions, *, now: Callable[[], float] = time.time) -> Service:
    """Return the service that the options ask for; raises ValueError for what can't be."""
    if options.churn > MAX_EVENTS_PER_SECOND:
        raise ValueError(f"churn {options.churn:g}: expected at most {MAX_EVENTS_PER_SECOND:g} events a second")
    if options.apps * max(options.tasks, 1) > MOST_TASKS:
        raise ValueError(f"{options.apps} apps of {options.tasks} tasks: expected at most {MOST_TASKS} tasks in all")
    faults = [parse_fault(text) for text in options.faults]
    variants = parse_variants(options.variants)
    fleet = Fleet(now)
    for app_id in options.app_ids:
        populate(fleet, app_id, options.tasks, random=seeded(options.seed, app_id), started_at=now())
    account = SimulatedAccount(
        ACCESS_KEY_ID, ACCESS_KEY_SECRET, options.app_ids, requests_per_second=options.requests_per_second
    )
    service = Service(
        [account],
        fleet,
        now=now,
        seed=options.seed,
        latency=Latency(options.latency_seconds / 2, options.jitter_seconds / 2),
        variants=variants,
    )
    service.churn.set_rates(Rates.mixture(options.churn), now())
    for fault in faults:
        service.faults.add(fault)
    return service


def parse_fault(text: str) -> Fault:
    """Read `NAME=RATE`; raises ValueError if the name does not exist, or the rate is no number from 0 to 1."""
    name, separator, rate = text.partition("=")
    try:
        return Fault(name, float(rate) if separator else 1.0)
    except ValueError as error:
        raise ValueError(f"fault {text!r}: {error}") from error


def parse_variants(texts: tuple[str, ...]) -> Variants:
    """Read `NAME=VALUE` of some variants; the others are as by default; raises ValueError for what does not exist."""
    changes: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or name not in DESCRIPTIONS["variant"]:
            raise ValueError(f"variant {text!r}: expected NAME=VALUE with one of {', '.join(DESCRIPTIONS['variant'])}")
        changes[name] = value
    try:
        return Variants().changed(changes)
    except msgspec.ValidationError as error:
        raise ValueError(f"variant: {error}") from error


EVENTS_PER_SECOND: Final = 3.0
_ODD_TASKS_UPDATED_BEFORE_SECONDS: Final = 3600.0


class DemoApp(Struct, frozen=True):
    """One app of the demonstration."""

    id: str
    name: str
    owner: str
    tasks: int
    quota_single: int | None = 200  # None: no quota
    quota_mixed: int | None = 40
    mixed_share: float = 0.85
    with_misconfigurations: bool = False
    with_odd_values: bool = False
    with_push_keys: bool = False


class DemoAccount(Struct, frozen=True):
    """One account of the demonstration."""

    name: str
    access_key_id: str
    access_key_secret: str
    apps: tuple[DemoApp, ...]


ACCOUNTS: Final = (
    DemoAccount(
        "production",
        "demo-production-key-id",
        "demo-production-key-secret",
        (
            DemoApp("live-main", "Main stage", "live-ops", 1500, 2000, 4000, with_misconfigurations=True),
            DemoApp("live-events", "Events", "live-ops", 240, 400, 800, with_odd_values=True, with_push_keys=True),
            DemoApp("education", "Classrooms", "education", 39, mixed_share=1.0),
            DemoApp("relay-only", "Partner relay", "partners", 120, mixed_share=0.0),
        ),
    ),
    DemoAccount(
        "staging",
        "demo-staging-key-id",
        "demo-staging-key-secret",
        (
            DemoApp("staging-stage", "Main stage (staging)", "platform", 12, None, None, with_misconfigurations=True),
            DemoApp("sandbox", "Sandbox", "", 0),
        ),
    ),
)
"""Those of the demonstration; the keys are documented values of a local service."""


def demo_service(*, now: Callable[[], float] = time.time, seed: int = 1, keys_rest_seconds: float = 0.0) -> Service:
    """Return the service of the demonstration, with its churn already on; for some time no push key expires."""
    fleet = Fleet(now)
    started_at = now()
    for account in ACCOUNTS:
        for app in account.apps:
            random = seeded(seed, app.id)
            # The odd ones are made first, so that they are far down the list.
            _add_odd_tasks(fleet, app, random, started_at, keys_rest_seconds)
            populate(fleet, app.id, app.tasks, random=random, started_at=started_at, mixed_share=app.mixed_share)
    accounts = [
        SimulatedAccount(account.access_key_id, account.access_key_secret, tuple(app.id for app in account.apps))
        for account in ACCOUNTS
    ]
    service = Service(accounts, fleet, now=now, seed=seed, latency=Latency(0.01, 0.01))
    service.churn.set_rates(Rates.mixture(EVENTS_PER_SECOND), started_at)
    return service


def _add_odd_tasks(fleet: Fleet, app: DemoApp, random: Random, started_at: float, keys_rest_seconds: float) -> None:
    fleet.add_app(app.id)
    maker = TaskMaker(random)
    changes = {
        **(MISCONFIGURATIONS if app.with_misconfigurations else {}),
        **(ODD_VALUES if app.with_odd_values else {}),
    }
    oldest = started_at - SECONDS_BETWEEN_FIRST_UPDATES * app.tasks - _ODD_TASKS_UPDATED_BEFORE_SECONDS
    for place, (name, change) in enumerate(changes.items()):
        for copy in range(2 if app.with_misconfigurations else 1):
            body = change(maker.mixed(app.id, TEMPLATES[0]))
            fleet.create(app.id, body, marks=(name,), at=oldest + place + copy / 2)
    for place, (name, (signer, seconds)) in enumerate(LIFETIMES.items() if app.with_push_keys else ()):
        expires_at = started_at + seconds + (keys_rest_seconds if seconds > 0 else 0)
        body = signed(maker.mixed(app.id, TEMPLATES[0]), signer, expires_at, random)
        fleet.create(app.id, body, marks=(name,), at=oldest + len(changes) + place)
