"""Tests of the shipped configurations: each is checked by the program that reads it, and none is left out."""

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Final

import pytest

from exporter.simulator.service import ACTION
from tests.deploy.compose import COMPOSE_FILE, SERVICES, mounts
from tests.support.configurations import read_yaml
from tests.support.processes import ROOT, Programs, clean_environment, needed_tool

DEPLOY: Final = ROOT / "deploy"
ENVIRONMENT: Final = MappingProxyType(
    {"ALIBABA_CLOUD_ACCESS_KEY_ID": "id", "CREDENTIALS_DIRECTORY": "/run/credentials"}
)


def checked_by_the_program(*words: str) -> Callable[[Path], None]:
    """Return a check that a command of the exporter accepts a file."""

    def check(path: Path) -> None:
        with TemporaryDirectory() as directory:
            done = Programs(Path(directory), ENVIRONMENT).run_exporter(*words, path)
        assert done.code == 0, done.out + done.err

    return check


def checked_by(tool: str, *words: str) -> Callable[[Path], None]:
    """Return a check that another program accepts a file."""

    def check(path: Path) -> None:
        done = subprocess.run(
            [needed_tool(tool), *words, path],
            env=clean_environment(ROOT),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return check


CHECKS: Final[Mapping[str, Callable[[Path], None]]] = MappingProxyType(
    {
        "examples/rtcmpu.yml": checked_by_the_program("check-config"),
        "examples/rules/agreed.yml": checked_by_the_program("rules", "test"),
        "systemd/rtcmpu.yml": checked_by_the_program("check-config"),
        "compose/exporter/rtcmpu.yml": checked_by_the_program("check-config"),
        "compose/exporter/rules/demo.yml": checked_by_the_program("rules", "test"),
        "prometheus/prometheus.yml": checked_by("promtool", "check", "config"),
        "prometheus/scrape.yml": checked_by("promtool", "check", "config"),
        "prometheus/rtcmpu.alerts.yml": checked_by("promtool", "check", "rules", "--lint=all", "--lint-fatal"),
        "prometheus/rtcmpu.rules.yml": checked_by("promtool", "check", "rules", "--lint=all", "--lint-fatal"),
        "alertmanager/alertmanager.yml": checked_by("amtool", "check-config"),
    }
)
READ_WITH_ANOTHER: Final = MappingProxyType({"examples/apps/events.yml": "examples/rtcmpu.yml"})
"""Files that another one names."""
PARTS_OF_THE_STACK: Final = ("compose/docker-compose.yml", "compose/prometheus.yml", "compose/grafana/datasources.yml")
"""Files that are checked where the stack's containers have them."""
ADDED_TO_THE_STACK: Final = ("compose/shared.yml",)
"""Files that `test_compose.py` checks."""
WITH_TESTS_OF_THEIR_OWN: Final = ("helm", "kustomize")


def shipped() -> list[str]:
    """Return the names of all YAML files below deploy/, without what is rendered or assembled for Kubernetes."""
    names = [path.relative_to(DEPLOY) for path in DEPLOY.rglob("*.y*ml")]
    return sorted(str(name) for name in names if name.parts[0] not in WITH_TESTS_OF_THEIR_OWN)


def test_no_file_is_left_out() -> None:
    """Each shipped file has a check here, is read with one that has, or is a part of the stack."""
    assert shipped() == sorted([*CHECKS, *READ_WITH_ANOTHER, *PARTS_OF_THE_STACK, *ADDED_TO_THE_STACK])
    mounted = {mount.path for service in SERVICES for mount in mounts(service)} | {COMPOSE_FILE}
    assert {DEPLOY / name for name in PARTS_OF_THE_STACK} <= mounted


@pytest.mark.processes
@pytest.mark.parametrize("name", CHECKS)
def test_its_reader_accepts_it(name: str) -> None:
    """The program that reads the file finds no mistake in it."""
    CHECKS[name](DEPLOY / name)


@pytest.mark.processes
@pytest.mark.parametrize(("name", "reader"), READ_WITH_ANOTHER.items())
def test_a_file_of_apps_is_read_with_the_file_that_names_it(name: str, reader: str, tmp_path: Path) -> None:
    """A mistake in it is a mistake of the whole configuration."""
    shutil.copytree(DEPLOY / "examples", tmp_path / "examples")
    CHECKS[reader](tmp_path / reader)
    (tmp_path / name).write_text("- no: app\n")
    with pytest.raises(AssertionError, match=r"events\.yml"):
        CHECKS[reader](tmp_path / reader)


@pytest.mark.parametrize(
    "path",
    [
        *DEPLOY.rglob("rtcmpu.yml"),
        *DEPLOY.rglob("*values.yaml"),
        *DEPLOY.glob("examples/*/*.yml"),
        *DEPLOY.rglob("agreed.yml"),
        *DEPLOY.rglob("demo.yml"),
    ],
    ids=lambda path: str(path.relative_to(DEPLOY)),
)
def test_editors_find_the_schema(path: Path) -> None:
    """The first line names the schema of the file, from where the file is."""
    first = path.read_text().splitlines()[0]
    schema = (path.parent / first.removeprefix("# yaml-language-server: $schema=")).resolve()
    chart = DEPLOY / "helm/rtcmpu-exporter/values.schema.json"
    names = {"rtcmpu.yml": "config", "agreed.yml": "rules", "demo.yml": "rules", "events.yml": "apps"}
    assert schema == (ROOT / f"docs/{names[path.name]}.schema.json" if path.name in names else chart)


def test_the_ram_policy_allows_one_action_and_nothing_else() -> None:
    """One statement, one action by its whole name: the one that the service in the API's place answers."""
    policy = json.loads((DEPLOY / "ram" / "policy.json").read_text())
    statement = {"Effect": "Allow", "Action": f"live:{ACTION}", "Resource": "*"}
    assert policy == {"Version": "1", "Statement": [statement]}


def test_the_complete_prometheus_has_the_job_of_the_example() -> None:
    """The job is in both files alike, so that either can be taken."""
    jobs = [
        read_yaml((DEPLOY / "prometheus" / name).read_text())["scrape_configs"][0]
        for name in ("prometheus.yml", "scrape.yml")
    ]
    assert jobs[0] == jobs[1]
