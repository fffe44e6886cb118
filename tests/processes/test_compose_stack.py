"""The parts of the Compose stack together, with its command lines and its files, as programs of this machine."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import pytest

from exporter.simulator.simulation import ACCOUNTS
from tests.deploy.compose import Container
from tests.deploy.dockerfile import check_health
from tests.support.http import ask, ask_json
from tests.support.processes import Programs, eventually, exporter, free_port, needed_tool
from tests.support.prometheus import Prometheus, is_ready

pytestmark = pytest.mark.processes


class Stack(NamedTuple):
    """Where the parts are, as `host:port`."""

    exporter: str
    prometheus: str
    alertmanager: str


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start what the stack starts, in its order; only the addresses are others."""
    prometheus, alertmanager = needed_tool("prometheus"), needed_tool("prometheus-alertmanager")
    addresses = {
        name: f"127.0.0.1:{free_port()}"
        for name in ("simulator:10679", "exporter:10678", "prometheus:9090", "alertmanager:9093")
    }
    replaced = addresses | {"0.0.0.0:10679": addresses["simulator:10679"]}
    parts = Stack(*(addresses[name] for name in ("exporter:10678", "prometheus:9090", "alertmanager:9093")))
    directory = tmp_path_factory.mktemp("stack")

    def command(service: str) -> list[str]:
        return Container(service, directory, replaced).command

    with Programs(directory) as programs:
        programs.start(*exporter(*command("simulator")), name="simulator").wait_for("^simulator ")
        programs.start(
            *exporter(*command("exporter"), f"--web.listen-address={parts.exporter}"), name="exporter"
        ).wait_for("listening")
        programs.start(alertmanager, *command("alertmanager"), f"--web.listen-address={parts.alertmanager}")
        programs.start(prometheus, *command("prometheus"), f"--web.listen-address={parts.prometheus}")
        eventually(partial(is_ready, parts.alertmanager))
        eventually(partial(is_ready, parts.prometheus))
        yield parts


def test_the_exporter_reads_every_app_and_its_rules(stack: Stack) -> None:
    """All apps of the demonstration are up, and the stack's own rule is evaluated beside the default ones."""

    def is_read() -> None:
        text = ask(f"http://{stack.exporter}/metrics").text
        for account in ACCOUNTS:
            for app in account.apps:
                assert f'rtcmpu_up{{account="{account.name}",app_id="{app.id}"}} 1.0' in text
        assert 'rtcmpu_policy_violations{account="production",app_id="live-main",rule="video-bitrate-agreed"' in text

    eventually(is_read)


def test_the_image_s_health_check_finds_it_healthy(stack: Stack) -> None:
    """What the container is asked, the daemon answers."""
    assert check_health(int(stack.exporter.rpartition(":")[2])) == 0


def test_prometheus_scrapes_it_and_evaluates_every_rule(stack: Stack) -> None:
    """Its one target is up, what it recorded can be queried, and no rule fails."""
    prometheus = Prometheus(f"http://{stack.prometheus}")
    apps = sum(len(account.apps) for account in ACCOUNTS)

    def is_scraped() -> None:
        assert prometheus.query("sum(up)") == {("", frozenset()): 1}
        assert prometheus.query("count(rtcmpu_up == 1)") == {("", frozenset()): apps}
        groups = ask_json(f"{prometheus.url}/api/v1/rules")["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert len(rules) > 40
        assert {rule["health"] for rule in rules} == {"ok"}

    eventually(is_scraped)


def test_prometheus_tells_alertmanager(stack: Stack) -> None:
    """It has found the Alertmanager, which has the shipped receivers."""

    def is_found() -> None:
        found = ask_json(f"http://{stack.prometheus}/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
        assert [manager["url"] for manager in found] == [f"http://{stack.alertmanager}/api/v2/alerts"]

    eventually(is_found)
    receivers = ask_json(f"http://{stack.alertmanager}/api/v2/receivers")
    assert "on-call" in {receiver["name"] for receiver in receivers}
