"""What a real Prometheus knows of push keys while these expire and the fleet changes, and what is true."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import NamedTuple

import pytest

from exporter.simulator.simulation import ACCESS_KEY_ID, ACCESS_KEY_SECRET
from exporter.simulator.task_maker import (
    ALIBABA_HOST,
    ALIBABA_VALIDITY_SECONDS,
    SIGNERS,
    TEMPLATES,
    TaskMaker,
    seeded,
    signed,
)
from tests.oracle.push_auth import key_of, state_of
from tests.oracle.rule_truth import listed_fleet
from tests.support.http import ask_json
from tests.support.processes import Programs, eventually
from tests.support.prometheus import Prometheus, start_prometheus

pytestmark = pytest.mark.processes

APP = "app-1"
ORDINARY_TASKS, SIGNED_TASKS = 1400, 600
KEYS_EXPIRE_WITHIN_SECONDS = 240
WARNING_SECONDS = 15
ALLOWED_SECONDS = 60
ROUNDS = 8
CHANGES_A_ROUND = 5
CONFIGURATION = f"""\
accounts:
- name: simulated
  endpoint: {{simulator}}
  credentials: {{{{access_key_id: {ACCESS_KEY_ID}, access_key_secret: {ACCESS_KEY_SECRET}}}}}
  apps: [{{{{id: {APP}}}}}]
collection: {{{{interval: 1s, sweep_interval: 3s, stale_after: 60s}}}}
policy:
  push_auth: [{{{{hosts: {ALIBABA_HOST}, validity: {ALIBABA_VALIDITY_SECONDS}s}}}}]
  push_expiry_warning: {WARNING_SECONDS}s
"""

Counts = Mapping[tuple[str, str], float]  # by signer and state
Keys = Sequence[tuple[str, int | str]]


class World(NamedTuple):
    """A fleet whose keys expire, and a Prometheus that scrapes the exporter which reads it."""

    simulator: str
    prometheus: Prometheus
    maker: TaskMaker
    random: Random

    def create(self, task_id: str, *, expires_in_seconds: float | None = None) -> None:
        """Add a task whose key expires soon, or when it is said."""
        body = {**self.maker.mixed(APP, TEMPLATES[0]), "TaskId": task_id}
        signer, expires_at = self._key()
        if expires_in_seconds is not None:
            expires_at = time.time() + expires_in_seconds
        ask_json(f"{self.simulator}/-/tasks", method="POST", body=signed(body, signer, expires_at, self.random))

    def renew(self, task_id: str) -> None:
        body = signed({"TaskId": task_id}, *self._key(), self.random)
        ask_json(f"{self.simulator}/-/tasks/{APP}/{task_id}", method="PATCH", body=body)

    def delete(self, task_id: str) -> None:
        ask_json(f"{self.simulator}/-/tasks/{APP}/{task_id}", method="DELETE")

    def keys(self) -> Keys:
        """Return the key of each URL of the fleet as it is now."""
        rows = [json.loads(bytes(row)) for row in listed_fleet(self.simulator)[APP].rows]
        return [key_of(url, {ALIBABA_HOST: ALIBABA_VALIDITY_SECONDS}) for row in rows for url in _urls(row)]

    def scrapes(self, seconds: float) -> dict[float, Counts]:
        """Return what was scraped in the last seconds, by time."""
        found: dict[float, dict[tuple[str, str], float]] = {}
        for labels, samples in self.prometheus.scrapes("rtcmpu_task_outputs_by_push_auth", int(seconds)).items():
            of = dict(labels)
            for at, value in samples.items():
                counts = found.setdefault(at, {})
                if value:
                    counts[of["signer"], of["state"]] = value
        return dict(found)

    def _key(self) -> tuple[str, float]:
        return self.random.choice(SIGNERS), time.time() + self.random.uniform(5, KEYS_EXPIRE_WITHIN_SECONDS)


def _urls(row: Mapping[str, object]) -> set[str]:
    several = row.get("MultiStreamURL") or ()
    return {url for url in (row.get("StreamURL"), *(one["URL"] for one in several)) if url}  # type: ignore[attr-defined]


def _counts(keys: Keys, now: float) -> Counts:
    return Counter((key[0], state_of(key, now, WARNING_SECONDS)) for key in keys)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Start everything."""
    with Programs(tmp_path_factory.mktemp("push-keys")) as programs:
        _, simulator = programs.start_simulator("--apps=1", f"--tasks={ORDINARY_TASKS}", "--churn=0", "--seed=3")
        ask_json(f"{simulator}/-/churn", method="POST", body={"update": 10, "resave": 2})
        configuration = programs.directory / "rtcmpu.yml"
        configuration.write_text(CONFIGURATION.format(simulator=simulator))
        random = seeded(5, "push-keys")
        world = World(simulator, Prometheus(""), TaskMaker(random), random)
        for number in range(SIGNED_TASKS):
            world.create(f"signed-{number}")
        _, exporter = programs.start_daemon(configuration)
        yield world._replace(prometheus=start_prometheus(programs, exporter.removeprefix("http://")))


def _is_near(scraped: Counts, truths: Iterable[Counts]) -> bool:
    """Whether each count is near those that were true at the ends of rounds: a scrape may fall into a round."""
    several = list(truths)
    keys = {key for counts in (scraped, *several) for key in counts}
    return all(
        min(counts.get(key, 0) for counts in several) - CHANGES_A_ROUND
        <= scraped.get(key, 0)
        <= max(counts.get(key, 0) for counts in several) + CHANGES_A_ROUND
        for key in keys
    )


def test_counts_by_state_are_true_at_every_scrape(world: World) -> None:
    """While tasks come, go and get other keys, and to the task once they rest while keys go on expiring."""

    def has_scraped() -> None:
        assert world.scrapes(10)

    eventually(has_scraped)
    began, truths = time.time(), dict[float, Counts]()
    for number in range(ROUNDS):
        for _ in range(CHANGES_A_ROUND - 2):
            world.renew(f"signed-{world.random.randrange(100, SIGNED_TASKS)}")
        world.create(f"late-{number}")
        world.delete(f"signed-{number}")
        truths[time.time()] = _counts(world.keys(), time.time())
        time.sleep(1)
    scraped = {at: counts for at, counts in world.scrapes(time.time() - began).items() if at > sorted(truths)[3]}
    assert len(scraped) >= ROUNDS / 4  # a busy machine misses some
    for at, counts in scraped.items():
        meanwhile = [truth for known, truth in truths.items() if at - ALLOWED_SECONDS <= known <= at + 2]
        assert _is_near(counts, meanwhile), (at, counts, meanwhile)

    ask_json(f"{world.simulator}/-/churn", method="POST", body={})
    keys = world.keys()

    def lag(at: float, counts: Counts) -> float:
        """Return how many seconds before a scrape its counts were true."""
        boundaries = [
            moment for _, expiry in keys if isinstance(expiry, int) for moment in (expiry, expiry - WARNING_SECONDS)
        ]
        moments = sorted((moment for moment in boundaries if at - ALLOWED_SECONDS <= moment <= at), reverse=True)
        for moment in (at, *(moment - 0.001 for moment in moments)):
            if _counts(keys, moment) == counts:
                return at - moment
        raise AssertionError(f"not true within {ALLOWED_SECONDS} s before it: {counts}, now {_counts(keys, at)}")

    def all_is_read() -> float:
        at, counts = max(world.scrapes(10).items())
        assert any(_counts(keys, at - seconds) == counts for seconds in range(ALLOWED_SECONDS))
        return at

    rests_from = eventually(all_is_read)

    def expiries() -> dict[float, Counts]:
        at_rest = {at: counts for at, counts in world.scrapes(ALLOWED_SECONDS).items() if at >= rests_from}
        assert len({frozenset(counts.items()) for counts in at_rest.values()}) > 3
        return at_rest

    assert max(lag(at, counts) for at, counts in eventually(expiries).items()) <= ALLOWED_SECONDS


def test_violations_are_the_tasks_whose_keys_expired(world: World) -> None:
    """A task with an expired key violates one of two rules: the critical one if it was added with such a key."""
    ask_json(f"{world.simulator}/-/churn", method="POST", body={})
    world.create("too-late", expires_in_seconds=-60)

    def violations(rule: str) -> float:
        return sum(world.prometheus.query(f'rtcmpu_policy_violations{{rule="{rule}"}}').values())

    def compare() -> None:
        keys, now = world.keys(), time.time()
        least, most = (
            sum(count for (_, state), count in _counts(keys, at).items() if state == "expired")
            for at in (now - ALLOWED_SECONDS, now)
        )
        assert violations("push-auth-expired-at-start") == 1
        assert least - 1 <= violations("push-auth-expired") <= most - 1
        assert most > 1

    eventually(compare)
