"""The daemon against a service that answers in every odd way: the right picture, or the old one with a named state."""

import re
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.processes.odd_answers import odd_answers
from tests.processes.odd_lists import odd_lists
from tests.processes.odd_service import Odd, OddService
from tests.support.configurations import account, write_configuration
from tests.support.http import ask
from tests.support.processes import Programs, Running, eventually

pytestmark = pytest.mark.processes

REST = (
    "collection: {interval: 3s, sweep_interval: 6s, stale_after: 10m, request_timeout: 4s}\n"
    "policy: {default_rules: false}\n"
)
SETTLE_SECONDS = 300
SWEEPS = 2  # this many attempts to sweep, after an app became odd, must not turn what it shows
_SAMPLE = re.compile(r'^(rtcmpu_\w+)\{account="[^"]*",app_id="([^"]*)"(?:,([^}]*))?\} (\S+)$', re.MULTILINE)


@dataclass
class Seen:
    """What one scrape shows of an app."""

    state: str = ""
    up: bool = False
    tasks: float | None = None  # None: no series
    changes: dict[str, float] = field(default_factory=dict)
    sweeps: float = 0  # attempts so far

    def take(self, family: str, labels: str, value: float) -> None:
        """Take in a sample."""
        if family == "rtcmpu_tasks":
            self.tasks = (self.tasks or 0) + value
        elif family == "rtcmpu_up":
            self.up = value == 1
        elif family == "rtcmpu_collection_state" and value:
            self.state = labels.split('"')[1]
        elif family == "rtcmpu_task_changes_total":
            self.changes[labels.split('"')[1]] = value
        elif family == "rtcmpu_collection_attempts_total" and 'kind="sweep"' in labels:
            self.sweeps += value


def scrape(url: str) -> dict[str, Seen]:
    """Return what the daemon shows of each app."""
    seen: dict[str, Seen] = defaultdict(Seen)
    for family, app, labels, value in _SAMPLE.findall(ask(f"{url}/metrics").text):
        seen[app].take(family, labels, float(value))
    return seen


def lies(odd: Odd, seen: Seen) -> Iterator[str]:
    """Yield what must never be shown, at no moment."""
    if seen.tasks is None or not odd.tasks - odd.deleted <= seen.tasks <= odd.tasks:
        yield f"{seen.tasks} tasks in state {seen.state}"
    if seen.changes.get("removed", 0) > odd.deleted:
        yield f"{seen.changes['removed']} tasks removed in state {seen.state}"
    if seen.changes.get("added", 0):
        yield f"{seen.changes['added']} tasks added in state {seen.state}"
    if seen.up != (seen.state == "ok"):
        yield f"up is {seen.up} in state {seen.state}"


def is_settled(odd: Odd, seen: Seen, states: frozenset[str]) -> bool:
    """Whether an app is in one of some states, and shows what is right then."""
    if seen.state != "ok" or odd.may_keep_deleted:
        return seen.state in states
    deleted = (seen.tasks, seen.changes.get("removed", 0)) == (odd.tasks - odd.deleted, odd.deleted)
    return seen.state in states and deleted


def watch(url: str, apps: dict[str, Odd], states: dict[str, frozenset[str]], found: dict[str, set[str]]) -> None:
    """Scrape until every app has settled, and note what is wrong on the way."""
    before = scrape(url)
    deadline = time.monotonic() + SETTLE_SECONDS
    waiting = dict(apps)
    while waiting and time.monotonic() < deadline:
        time.sleep(1)
        shown = scrape(url)
        for name, odd in apps.items():
            found[name].update(lies(odd, shown[name]))
        for name, odd in list(waiting.items()):
            swept = shown[name].sweeps >= before[name].sweeps + SWEEPS
            if swept and is_settled(odd, shown[name], states[name]):
                del waiting[name]
    for name in waiting:
        found[name].add(f"did not end as {sorted(states[name])}: {shown[name]}")


def odd_apps() -> dict[str, Odd]:
    """Return every odd app by its id."""
    every = [*odd_answers(), *odd_lists()]
    apps = {re.sub(r"[^A-Za-z0-9_-]+", "-", odd.name): odd for odd in every}
    assert len(apps) == len(every)
    return apps


def grouped(apps: dict[str, Odd]) -> list[list[str]]:
    """Return apps by account: one that throttles has an account of its own, since it slows all of its account."""
    alone = [name for name, odd in apps.items() if "throttled" in odd.states or odd.throttles_lookups]
    others = [name for name in apps if name not in alone]
    return [[name] for name in alone] + [others[start : start + 10] for start in range(0, len(others), 10)]


def check_log(daemon: Running) -> None:
    """No answer ends in an exception that nobody foresaw."""
    assert "Traceback" not in daemon.err
    assert not re.search("internal.error.*exception=", daemon.err)


def test_an_odd_answer_never_makes_a_wrong_picture(programs: Programs) -> None:
    """Each odd answer ends in the right picture with `ok`, or in the old data with a named state, and heals."""
    apps = odd_apps()
    assert len(apps) > 200
    found: dict[str, set[str]] = defaultdict(set)
    with OddService(apps) as service:
        accounts = [
            account(
                service.address, names, name=f"account-{place}", key_id=f"key-{place}", more="requests_per_second: 50"
            )
            for place, names in enumerate(grouped(apps))
        ]
        daemon, url = programs.start_daemon(write_configuration(programs.directory, *accounts, rest=REST))
        all_ok = dict.fromkeys(apps, frozenset({"ok"}))

        def all_read() -> None:
            shown = scrape(url)
            assert [name for name, odd in apps.items() if shown[name].tasks != odd.tasks] == []

        eventually(all_read)
        service.turn_odd()
        watch(url, apps, {name: odd.states for name, odd in apps.items()}, found)
        service.turn_good()
        watch(url, apps, all_ok, found)
        daemon.end()
        check_log(daemon)
    wrong = [f"{name}: {', '.join(sorted(what))}" for name, what in found.items() if what]
    assert not wrong, "\n".join(wrong)
