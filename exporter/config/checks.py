"""What concerns several keys at once: checked on drafts, to be reported beside all other mistakes."""

from collections.abc import Iterable
from typing import cast

from exporter.config.draft import Draft
from exporter.config.durations import format_duration
from exporter.config.limiter_groups import limiter_groups
from exporter.config.mistakes import Mistakes, Position
from exporter.config.model import LEAST_STALE_AFTER_SWEEPS, Account, Collection
from exporter.config.policy_model import Range


def check(config: Draft, mistakes: Mistakes) -> None:
    """Note what does not go together in a whole configuration, the files of apps included."""
    accounts = config.drafts("accounts")
    _check_unique(accounts, "name", "account", mistakes)
    for account in accounts:
        _check_unique(account.drafts("apps"), "id", "app", mistakes)
        if not {"apps", "app_files"} & account.nodes.keys():
            mistakes.add(account.position, "no apps, expected apps or app_files")
    for app in apps_of(config):
        expect = app.draft("expect")
        if expect is not None:
            _check_ranges(expect, mistakes)
    _check_rates([account for account in accounts if account.complete], mistakes)
    collection = config.draft("collection")
    if collection is not None:
        _check_intervals(collection, mistakes)


def apps_of(config: Draft) -> tuple[Draft, ...]:
    """Return all apps; those of a file that accounts share are there once."""
    found = (app for account in config.drafts("accounts") for app in account.drafts("apps"))
    return tuple({id(app): app for app in found}.values())


def _check_unique(entries: Iterable[Draft], attribute: str, what: str, mistakes: Mistakes) -> None:
    """Note each entry that has the name of an earlier one."""
    first: dict[object, Position] = {}
    for entry in entries:
        if attribute not in entry.values:
            continue
        name, place = entry.values[attribute], entry.place(attribute)
        if name in first:
            mistakes.add(place, f"{what} {name} again, expected once: it stands at {first[name]}")
        first.setdefault(name, place)


def _check_rates(entries: list[Draft], mistakes: Mistakes) -> None:
    """Note accounts that share one limiter and want different rates."""
    accounts = [cast("Account", entry.build()) for entry in entries]
    places = {id(account): entry for account, entry in zip(accounts, entries, strict=True)}
    for first, *others in limiter_groups(accounts):
        for other in others:
            if other.requests_per_second != first.requests_per_second:
                entry = places[id(other)]
                mistakes.add(
                    entry.place("requests_per_second"),
                    f"requests_per_second {other.requests_per_second:g} in one limiter with account"
                    f" {first.name}, expected its {first.requests_per_second:g}",
                )


def _check_ranges(expect: Draft, mistakes: Mistakes) -> None:
    """Note ranges that nothing, or everything, lies within."""
    for name in expect.nodes:
        entry = expect.draft(name)
        if entry is None or entry.wrong:
            continue
        bounds = cast("Range", entry.build())
        if bounds.least is None and bounds.most is None:
            mistakes.add(entry.position, f"{name} has neither min nor max, expected at least one of them")
        elif bounds.least is not None and bounds.most is not None and bounds.least > bounds.most:
            text = f"min {bounds.least:g} of {name} is above its max, expected at most {bounds.most:g}"
            mistakes.add(entry.place("least"), text)


def _check_intervals(entry: Draft, mistakes: Mistakes) -> None:
    """Note intervals that can't be kept together."""
    if entry.wrong & {"interval_seconds", "sweep_interval_seconds", "stale_after_seconds"}:
        return
    collection = cast("Collection", entry.build())
    interval, sweep_interval = collection.interval_seconds, collection.sweep_interval_seconds
    if interval > sweep_interval:
        mistakes.add(
            entry.place("interval_seconds" if "interval_seconds" in entry.nodes else "sweep_interval_seconds"),
            f"interval {format_duration(interval)} is longer than sweep_interval,"
            f" expected at most {format_duration(sweep_interval)}",
        )
    least = LEAST_STALE_AFTER_SWEEPS * sweep_interval
    if collection.stale_after_seconds < least:
        mistakes.add(
            entry.place("stale_after_seconds"),
            f"stale_after {format_duration(collection.stale_after_seconds)} is too short,"
            f" expected at least 2 x sweep_interval, {format_duration(least)}",
        )
