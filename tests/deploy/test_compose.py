"""Tests of the Compose stack: every part exists, is confined, finds the others, and accepts its configuration."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from exporter import __version__
from exporter.config.model import AccessKey
from exporter.rules.rule_loader import ConfigurationSource
from exporter.simulator.simulation import ACCOUNTS
from exporter.storage.database import sqlite_path
from tests.deploy.compose import COMPOSE_FILE, SERVICES, Container, mounts, published
from tests.deploy.dockerfile import DOCKERFILE
from tests.support.command_line import parsed
from tests.support.configurations import read_yaml
from tests.support.processes import ROOT, needed_tool

OURS: Final = ("simulator", "exporter")
PORTS: Final = {"exporter": 10678, "prometheus": 9090, "alertmanager": 9093, "grafana": 3000}
each_service = pytest.mark.parametrize("service", SERVICES)


@each_service
def test_each_part_is_pinned_and_confined(service: str) -> None:
    """Its image is pinned, ours built here; it may write to volumes alone; what is mounted exists and hides nothing."""
    part = SERVICES[service]
    assert part["read_only"] is True
    assert part["cap_drop"] == ["ALL"]
    assert part["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in part
    for mount in mounts(service):
        assert mount.target.startswith("/")
        assert mount.path is None or (mount.path.exists() and mount.options == "ro")
    assert len({mount.target for mount in mounts(service)}) == len(mounts(service))
    if service in OURS:
        assert part["image"] == f"rtcmpu-exporter:{__version__}"
        assert (COMPOSE_FILE.parent / part["build"]["context"]).resolve() == ROOT
        assert ROOT / part["build"]["dockerfile"] == DOCKERFILE
    else:
        assert "build" not in part
        assert re.fullmatch(r"[\w/.-]+:v?\d+\.\d+\.\d+", part["image"])


@pytest.mark.parametrize(("service", "port"), PORTS.items())
def test_only_this_machine_reaches_it(service: str, port: int) -> None:
    """Each page is published on its usual port, on loopback alone; nobody reaches the simulated service."""
    assert published(service) == {port: f"127.0.0.1:{port}"}
    assert f"http://localhost:{port} " in COMPOSE_FILE.read_text()
    assert published("simulator") == {}


@each_service
def test_each_part_says_when_it_is_healthy(service: str) -> None:
    """It is asked on a port that it listens on, or, in the exporter's case, as the image has it."""
    check = SERVICES[service].get("healthcheck")
    if check is None:
        assert service == "exporter"
        assert "HEALTHCHECK" in DOCKERFILE.read_text()
        return
    kind, program, *arguments = check["test"]
    assert (kind, program) in {("CMD", "wget"), ("CMD", "python3")}
    port = PORTS.get(service, 10679)
    assert re.search(rf"127\.0\.0\.1('|:)[, ]*{port}\b", " ".join(arguments))


@pytest.mark.parametrize("service", OURS)
def test_the_program_understands_its_command_lines(service: str) -> None:
    """They are commands of the program, and files that they name are mounted."""
    options = parsed(SERVICES[service]["command"])
    if service == "simulator":
        assert options["is_demo"]
        assert options["listen_address"] == "0.0.0.0:10679"
    else:
        (mount,) = [mount for mount in mounts(service) if mount.target == str(options["config_file"].parent)]
        assert mount.path is not None
        assert (mount.path / options["config_file"].name).is_file()


def test_the_exporter_reads_what_the_simulated_service_has() -> None:
    """Accounts, keys, apps, names, owners and quotas are the demonstration's; the state is kept in its volume."""
    config = ConfigurationSource.of_file(ROOT / "deploy" / "compose" / "exporter" / "rtcmpu.yml", {}).load().config
    for account, demo in zip(config.accounts, ACCOUNTS, strict=True):
        assert isinstance(account.credentials, AccessKey)
        assert (account.name, account.endpoint) == (demo.name, "http://simulator:10679")
        assert account.credentials.access_key_id == demo.access_key_id
        assert account.credentials.access_key_secret.reveal() == demo.access_key_secret
        assert [(app.id, app.name, app.owner, app.quota.single, app.quota.mixed) for app in account.apps] == [
            (app.id, app.name, app.owner, app.quota_single, app.quota_mixed) for app in demo.apps
        ]
    (state,) = [mount.target for mount in mounts("exporter") if mount.source == "exporter"]
    assert config.storage is not None
    assert sqlite_path(config.storage.url.reveal()) == Path(state) / "rtcmpu.db"


@pytest.mark.processes
def test_prometheus_accepts_what_is_mounted(tmp_path: Path) -> None:
    """The configuration passes promtool where the container has it, rule files included."""
    container = Container("prometheus", tmp_path, {})
    done = _run("promtool", "check", "config", container.path("/etc/prometheus/prometheus.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 rule files found" in done.stdout
    document = read_yaml(container.path("/etc/prometheus/prometheus.yml").read_text())
    (job,) = document["scrape_configs"]
    assert job["job_name"] == "rtcmpu"
    assert _targets(job) == [f"exporter:{PORTS['exporter']}"]
    assert _targets(document["alerting"]["alertmanagers"][0]) == [f"alertmanager:{PORTS['alertmanager']}"]


@pytest.mark.processes
def test_alertmanager_accepts_what_is_mounted(tmp_path: Path) -> None:
    """The configuration passes amtool where the container has it."""
    container = Container("alertmanager", tmp_path, {})
    (flag,) = [word for word in container.command if word.startswith("--config.file=")]
    done = _run("amtool", "check-config", flag.removeprefix("--config.file="))
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_finds_a_data_source_and_the_dashboards(tmp_path: Path) -> None:
    """The one default data source is of the type that each dashboard asks for, and leads to Prometheus."""
    container = Container("grafana", tmp_path, {})
    provisioned = read_yaml(container.path("/etc/grafana/provisioning/datasources/rtcmpu.yml").read_text())
    (source,) = provisioned["datasources"]
    assert provisioned["apiVersion"] == 1
    assert source["isDefault"] is True
    assert source["uid"]
    assert source["url"] == f"http://prometheus:{PORTS['prometheus']}"

    provider = read_yaml((ROOT / "grafana" / "provisioning" / "dashboards.yml").read_text())["providers"][0]
    dashboards = [json.loads(path.read_text()) for path in container.path(provider["options"]["path"]).glob("*.json")]
    assert len(dashboards) == len(list((ROOT / "grafana").glob("*.json"))) > 3
    for dashboard in dashboards:
        asked: list[dict[str, Any]] = [v for v in dashboard["templating"]["list"] if v["type"] == "datasource"]
        assert [variable["query"] for variable in asked] == [source["type"]]
        # None is chosen in the file: Grafana then takes the default one.
        assert not [variable for variable in asked if variable.get("current", {}).get("value")]


def test_grafana_lets_everyone_look_and_nobody_change() -> None:
    """Anyone who reaches the port is a viewer, nobody can log in, the home dashboard exists, and nothing calls home."""
    environment = SERVICES["grafana"]["environment"]
    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"
    home = Path(environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    (mounted,) = [mount.path for mount in mounts("grafana") if mount.target == str(home.parent)]
    assert mounted is not None
    assert (mounted / home.name).is_file()
    assert environment["GF_ANALYTICS_REPORTING_ENABLED"] == "false"


def _targets(entry: dict[str, Any]) -> list[str]:
    return [target for group in entry["static_configs"] for target in group["targets"]]


def _run(tool: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([needed_tool(tool), *words], capture_output=True, text=True, check=False, timeout=60)


class _Override(yaml.SafeLoader):
    """Reads Compose's own tag for a list that replaces another."""


_Override.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))  # type: ignore[arg-type]


def test_two_exporters_can_share(tmp_path: Path) -> None:
    """What the file for two exporters says about the configuration is one that loads, for a port of each exporter."""
    text = (COMPOSE_FILE.parent / "shared.yml").read_text()
    services = yaml.load(text, _Override)["services"]  # noqa: S506 - a safe loader
    assert services["exporter-2"]["extends"] == {"file": COMPOSE_FILE.name, "service": "exporter"}
    assert services["exporter-2"]["ports"] == ["127.0.0.1:10680:10678"]
    configuration = read_yaml((COMPOSE_FILE.parent / "exporter" / "rtcmpu.yml").read_text())
    lines = re.findall(r"^#   ((?:storage|sharing): .*)$", text, re.MULTILINE)
    configuration |= read_yaml("\n".join(lines))
    del configuration["policy"]
    (tmp_path / "rtcmpu.yml").write_text(yaml.safe_dump(configuration))
    for name in ("exporter", "exporter-2"):
        environment = services[name]["environment"]
        loaded = ConfigurationSource.of_file(tmp_path / "rtcmpu.yml", environment).load()
        assert loaded.config.sharing is not None
        assert loaded.config.sharing.advertise == environment["ADVERTISE"]
