"""Every query of the dashboards, asked of a real Prometheus that scraped two replicas of the exporter."""

import json
import math
import sys
import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest

from exporter.simulator.simulation import ACCOUNTS
from tests.support.configurations import demo_accounts, write_configuration
from tests.support.http import ask_json
from tests.support.processes import Programs, eventually, free_port
from tests.support.prometheus import Prometheus, start_prometheus
from tests.support.promql import Query, all_queries, dashboards, panels, queries

pytestmark = pytest.mark.processes

LIVELY_SECONDS = 12  # long enough for rates over `RATE_SECONDS`, and for the failing app to fail more than once
RATE_SECONDS = 8
SHOWN_SECONDS = 30
CHOSEN = {"__rate_interval": f"{RATE_SECONDS}s", "__range": f"{SHOWN_SECONDS}s", "job": "rtcmpu"}
ONE_APP = {"account": "production", "app_id": "live-main"}  # what is chosen on the dashboard that is about one app
ODD_APP = {"account": "production", "app_id": "live-events"}  # it has the values that nobody would write

KEY = {
    "Code": "Success",
    "AccessKeyId": "STS.unknown",
    "AccessKeySecret": "unknown",
    "SecurityToken": "unknown",
    "Expiration": "2100-01-01T00:00:00Z",
}
"""Temporary credentials, of nobody that the service knows."""

SIGNED = {
    "AppId": ONE_APP["app_id"],
    "MixMode": "0",
    "Region": "AP-Singapore",
    "StreamURL": f"rtmp://push.example.com/live/signed?txSecret={'0' * 32}&txTime=F0000000",
}
"""A task whose push key expires in 2097."""

QUOTA = "quota: {single: 200, mixed: 40}"
BROKEN = """\
- name: broken
  endpoint: {service}
  requests_per_second: 5
  credentials: {{type: credentials_uri, uri: "http://127.0.0.1:{key_port}/key.json"}}
  apps: [{{id: refused}}]
"""
REST = """\
collection: {{interval: 1s, sweep_interval: 3s, stale_after: 60s}}
metrics:
  per_task: {{enabled: true, max_series: 100}}
storage: {{url: "sqlite:{name}.db"}}
policy:
  rule_files: [rules.yml]
"""
DISAGREEMENT = """\
  rules: {not-guarded: {severity: warning}}
"""
"""What the second replica already has, and the first has not: no query may fail at that."""
RULES = """\
rules:
- name: agreed-bitrate
  title: Video at no more than 100 kbit/s
  severity: critical
  owner: live-ops
  runbook_url: https://runbooks.example/agreed-bitrate
  when: has(task.video.bitrate_kbps)
  expect: task.video.bitrate_kbps <= 100
  exempt:
  - {name: trial, tasks: ["*0"], until: 2199-12-31, reason: agreed}
- name: not-guarded
  title: A rule that reads what tasks lack
  severity: info
  expect: task.idle_timeout_seconds > 0
"""
ALERTS = """\
groups:
- name: sharing
  rules:
  - {record: rtcmpu_exporter_lease_held, expr: vector(1), labels: &of {job: rtcmpu, instance: a, account: production}}
  - {record: rtcmpu_exporter_lease_takeovers_total, expr: vector(1), labels: *of}
  - {record: rtcmpu_exporter_lease_unheld_seconds, expr: vector(0), labels: *of}
- name: test
  rules:
  - alert: RtcmpuTest
    expr: vector(1)
    labels: {severity: critical, account: production, app_id: live-main, rule: agreed-bitrate}
"""
"""An alert, and what exporters publish that share their budgets in a PostgreSQL database; here they do not."""


class World(NamedTuple):
    """Two replicas that read one fleet, and a Prometheus that scrapes both."""

    service: str
    prometheus: Prometheus
    ends_at: float  # when the lively time was over


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Start everything, let the fleet be lively for a while with some faults, and then at rest."""
    with Programs(tmp_path_factory.mktemp("dashboards")) as programs:
        service = programs.start_demo_fleet()
        (programs.directory / "rules.yml").write_text(RULES)
        (programs.directory / "key.json").write_text(json.dumps(KEY))
        key_port = free_port()
        programs.start(sys.executable, "-m", "http.server", "--bind=127.0.0.1", str(key_port), name="keys")
        accounts = demo_accounts(service, QUOTA, more="requests_per_second: 20")
        accounts.append(BROKEN.format(service=service, key_port=key_port))
        replicas = [
            programs.start_daemon(
                write_configuration(
                    programs.directory, *accounts, name=f"{name}.yml", rest=REST.format(name=name) + disagreement
                )
            )
            for name, disagreement in (("rtcmpu", ""), ("reloaded", DISAGREEMENT))
        ]
        targets = [url.removeprefix("http://") for _, url in replicas]
        prometheus = start_prometheus(programs, *targets, rules=ALERTS, has_tasks=True)

        def has_all_apps() -> None:
            apps = sum(len(account.apps) for account in ACCOUNTS)
            found = prometheus.query("sum(rtcmpu_collection_data_available)")
            assert list(found.values()) == [2 * apps]

        eventually(has_all_apps)
        ask_json(f"{service}/-/churn", method="POST", body={"update": 20, "create": 5, "delete": 5, "resave": 5})
        ask_json(f"{service}/-/faults", method="POST", body={"name": "internal_error", "rate": 0.05})
        time.sleep(LIVELY_SECONDS)
        for number in range(3):  # more than one, since the churn may delete some
            ask_json(f"{service}/-/tasks", method="POST", body=SIGNED | {"TaskId": f"signed-{number}"})

        def scraped_throughout() -> float:
            now = time.time()
            shown = f'rtcmpu_push_auth_next_expiry_timestamp_seconds{{app_id="{ONE_APP["app_id"]}"}}'
            assert list(prometheus.query(f"count({shown})").values()) == [2]
            assert list(prometheus.query(f"sum(min_over_time(up[{RATE_SECONDS}s]))").values()) == [4]
            return now

        ends_at = eventually(scraped_throughout)
        ask_json(f"{service}/-/churn", method="POST", body={})
        yield World(service, prometheus, ends_at)


@pytest.mark.parametrize("query", all_queries(), ids=lambda query: f"{query.dashboard}/{query.place}")
def test_a_query_has_data(query: Query, world: World) -> None:
    """Prometheus answers without an error and with numbers: what is usually empty was provoked."""
    chosen = CHOSEN | (_app_of(query) if query.dashboard == "rtcmpu-app" else {})
    numbers = _numbers(world, query, query.asked(chosen))

    assert any(map(math.isfinite, numbers)), f"{query}: {numbers[:5]}"


def test_every_label_of_a_table_is_a_column(world: World) -> None:
    """A label that no column names would be shown behind them, in Grafana's order."""
    for dashboard in dashboards().values():
        for panel in panels(dashboard):
            if panel["type"] == "table":
                _, organize = panel["transformations"]
                columns = {*organize["options"]["renameByName"], *organize["options"]["excludeByName"]}
                for query in (query for query in queries(dashboard) if query.panel_id == panel["id"]):
                    found = _answer(world, query, query.asked(CHOSEN))
                    assert {label for series in found for label in series["metric"]} <= columns, query


def test_two_replicas_are_not_counted_twice(world: World) -> None:
    """The numbers of the fleet are those that one replica publishes, once the fleet is at rest."""
    by_panel = {(query.dashboard, query.panel_id, query.place[-1]): query for query in all_queries()}
    (instance, *_) = _instances(world)
    alone = f'{{instance="{instance}"}}'

    def same() -> None:
        for place, direct in {
            ("rtcmpu-overview", 3, "A"): f"sum(rtcmpu_tasks{alone})",
            ("rtcmpu-overview", 4, "A"): f"8 * sum(rtcmpu_task_configured_egress_bytes_per_second{alone})",
            ("rtcmpu-expectations", 9, "A"): f"sum(rtcmpu_policy_exempted_tasks{alone})",
        }.items():
            assert world.prometheus.value(by_panel[place].asked(CHOSEN)) == world.prometheus.value(direct) > 0

    eventually(same)


def test_apps_with_data_are_named_in_words(world: World) -> None:
    """The number beside all sums says "N of M": its series is named by the two, and its value is what is missing."""
    (query,) = [query for query in all_queries() if (query.dashboard, query.panel_id) == ("rtcmpu-overview", 2)]
    apps = sum(len(account.apps) for account in ACCOUNTS)

    def is_named() -> None:
        found = world.prometheus.query(query.asked(CHOSEN))
        assert found == {("", frozenset({("some", str(apps)), ("all", str(apps + 1))})): 1}

    eventually(is_named)


def test_nothing_at_all_is_said_too(world: World) -> None:
    """Where no exporter is known the number says so, in the colour of something that is missing."""
    (query,) = [query for query in all_queries() if (query.dashboard, query.panel_id) == ("rtcmpu-overview", 2)]

    found = world.prometheus.query(query.asked({"job": "unknown"}))
    assert found == {("", frozenset({("some", "0"), ("all", "0")})): 1}


def _app_of(query: Query) -> dict[str, str]:
    odd_values = query.panel_id == 81
    return ODD_APP if odd_values else ONE_APP


def _numbers(world: World, query: Query, asked: str) -> list[float]:
    """Return all values of all series of the answer."""
    found = _answer(world, query, asked)
    return [float(value) for series in found for _, value in series.get("values", [series.get("value")])]


def _answer(world: World, query: Query, asked: str) -> list[dict[str, Any]]:
    if query.is_range:
        # Marks are about what happened, and the alert began with the server.
        seconds = 600 if query.place.startswith("annotation") else SHOWN_SECONDS
        start, end = world.ends_at - seconds, world.ends_at
        path, parameters = "query_range", {"query": asked, "start": start, "end": end, "step": 2}
    else:
        path, parameters = "query", {"query": asked, "time": world.ends_at}
    answer: dict[str, Any] = ask_json(f"{world.prometheus.url}/api/v1/{path}?{urlencode(parameters)}")
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result


def _instances(world: World) -> list[str]:
    answer = ask_json(f"{world.prometheus.url}/api/v1/label/instance/values")
    return sorted(answer["data"])
