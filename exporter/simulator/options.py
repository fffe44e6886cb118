"""What a command line can ask of the simulator, and the service that comes of it."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from exporter.simulator.broken_answers import FAULTS
from exporter.simulator.churn import Rates
from exporter.simulator.faults import Fault
from exporter.simulator.fleet import Fleet
from exporter.simulator.generation import populate
from exporter.simulator.latency import Latency
from exporter.simulator.message import Account
from exporter.simulator.seeding import seeded
from exporter.simulator.service import Service
from exporter.simulator.variants import DESCRIPTIONS, Variants

ACCESS_KEY_ID: Final = "simulator-key-id"
ACCESS_KEY_SECRET: Final = "simulator-key-secret"  # noqa: S105 - the documented key of a local service


class SimulatorOptions(Struct, frozen=True):
    """One account with some apps of equal size."""

    apps: int = 3
    tasks: int = 100
    """Of each app, at the start."""
    churn: float = 1.0
    """Events per second over all apps."""
    seed: int = 1
    requests_per_second: int = 50
    faults: tuple[str, ...] = ()
    """Each `NAME=RATE`, or `NAME` for every request."""
    variants: tuple[str, ...] = ()
    """Each `NAME=VALUE`."""
    latency_seconds: float = 0.02
    """Of a round trip, at least."""
    jitter_seconds: float = 0.02
    """Of a round trip, at most that much more."""

    @property
    def app_ids(self) -> tuple[str, ...]:
        """The AppIds of the apps."""
        return tuple(f"app-{number}" for number in range(1, self.apps + 1))


def build_service(options: SimulatorOptions, *, now: Callable[[], float] = time.time) -> Service:
    """Return the service that the options ask for; its one account has the documented key.

    Raises:
        ValueError: A fault or variant is not `NAME=VALUE`, or does not exist; the message names it and what exists.
    """
    faults = [parse_fault(text) for text in options.faults]
    variants = parse_variants(options.variants)
    fleet = Fleet(now)
    for app_id in options.app_ids:
        populate(fleet, app_id, options.tasks, random=seeded(options.seed, app_id), started_at=now())
    account = Account(
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
    """Read `NAME=RATE`.

    Raises:
        ValueError: The name does not exist, or the rate is no number from 0 to 1.
    """
    name, separator, rate = text.partition("=")
    try:
        return Fault(name, float(rate) if separator else 1.0)
    except ValueError as error:
        raise ValueError(f"fault {text!r}: {error}") from error


def parse_variants(texts: tuple[str, ...]) -> Variants:
    """Read `NAME=VALUE` of some variants; the others are as by default.

    Raises:
        ValueError: A name or a value does not exist.
    """
    changes: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or name not in DESCRIPTIONS:
            raise ValueError(f"variant {text!r}: expected NAME=VALUE with one of {', '.join(DESCRIPTIONS)}")
        changes[name] = value
    try:
        return Variants().changed(changes)
    except msgspec.ValidationError as error:
        raise ValueError(f"variant: {error}") from error


def fault_descriptions() -> Mapping[str, str]:
    """Return each fault's name with one line about it."""
    return {name: fault.description for name, fault in FAULTS.items()}


def variant_descriptions() -> Mapping[str, str]:
    """Return each variant's name with one line about it."""
    return DESCRIPTIONS
