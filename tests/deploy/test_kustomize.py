"""Tests of the kustomize base and of the overlay that is its example, built by kubectl."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from exporter import __version__
from exporter.rules.rule_loader import load
from tests.deploy.manifests import (
    Manifest,
    exporter_of,
    manifests_of,
    named_file,
    one,
    pod_of,
    rendered,
    validate,
    write_mounts,
)
from tests.support.command_line import parsed
from tests.support.processes import ROOT

KUSTOMIZE = ROOT / "deploy/kustomize"
DIRECTORIES = ("base", "overlays/production")


@pytest.fixture(scope="module")
def kubectl() -> str:
    """Return the program; Debian 12 has only one that is too old, so that tests do without it there."""
    found = shutil.which("kubectl")
    if found is None:
        pytest.skip("kubectl is not installed: see https://kubernetes.io/docs/tasks/tools/")
    done = subprocess.run([found, "version", "--client", "-o=json"], capture_output=True, text=True, check=True)
    if "kustomizeVersion" not in json.loads(done.stdout):
        pytest.skip("kubectl is older than 1.24: see https://kubernetes.io/docs/tasks/tools/")
    return found


@pytest.fixture(scope="module", params=DIRECTORIES)
def built(request: pytest.FixtureRequest, kubectl: str) -> Sequence[Manifest]:
    """Return what a directory yields; kubectl has nothing to warn of."""
    done = subprocess.run(
        [kubectl, "kustomize", KUSTOMIZE / request.param], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return list(manifests_of(done.stdout))


@pytest.mark.parametrize("directory", DIRECTORIES)
def test_its_configuration_has_no_mistake(directory: str) -> None:
    """The program accepts the file as it is, also where there is no kubectl."""
    assert load(KUSTOMIZE / directory / "rtcmpu.yml", {}).config.storage is not None


@pytest.mark.processes
def test_every_object_is_valid(built: Sequence[Manifest]) -> None:
    """Each has no unknown key, for the oldest and the newest Kubernetes."""
    kinds = {manifest["kind"] for manifest in built} - {"Namespace"}
    assert kinds == {"ConfigMap", "Deployment", "NetworkPolicy", "Service", "ServiceAccount"}
    for manifest in built:
        validate(manifest)


@pytest.mark.processes
def test_the_program_accepts_arguments_and_configuration(built: Sequence[Manifest], tmp_path: Path) -> None:
    """Each flag is one that the command line knows, and the files that the container sees have no mistake."""
    parsed(exporter_of(built)["args"])
    write_mounts(built, tmp_path)
    loaded = load(named_file(built, "--config.file", tmp_path), {})
    (account,) = loaded.config.accounts
    assert "live-main" in {app.id for app in account.apps}
    if len(account.apps) > 1:
        assert "video-bitrate-agreed" in {rule.rule.name for rule in loaded.rule_set.rules}


@pytest.mark.processes
def test_the_pod_is_that_of_the_chart(built: Sequence[Manifest]) -> None:
    """What it may do, what it is given and how it is probed: the two ways of installing do not drift apart."""
    chart = rendered()
    ours, theirs = exporter_of(built), exporter_of(chart)
    for part in ("args", "env", "livenessProbe", "ports", "readinessProbe", "resources", "securityContext"):
        assert ours[part] == theirs[part], part
    for part in (
        "automountServiceAccountToken",
        "enableServiceLinks",
        "securityContext",
        "terminationGracePeriodSeconds",
    ):
        assert pod_of(built)[part] == pod_of(chart)[part], part
    for part in ("replicas", "strategy"):
        assert one(built, "Deployment")["spec"][part] == one(chart, "Deployment")["spec"][part], part
    assert ours["volumeMounts"] == theirs["volumeMounts"]
    assert ours["image"].endswith(f"rtcmpu-exporter:{__version__}")


@pytest.mark.processes
def test_the_network_policy_is_about_the_exporter_alone(built: Sequence[Manifest]) -> None:
    """An empty selector would cut off every pod of the namespace."""
    policy = one(built, "NetworkPolicy")["spec"]
    labels = one(built, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert one(built, "Service")["spec"]["selector"].items() <= labels.items()
    policies = rendered({"networkPolicy": {"enabled": True}})
    for part in ("policyTypes", "ingress", "egress"):
        assert policy[part] == one(policies, "NetworkPolicy")["spec"][part]


@pytest.mark.processes
def test_the_pod_s_objects_are_there(built: Sequence[Manifest]) -> None:
    """The account and the namespace that the pod runs in are among the objects."""
    account = one(built, "ServiceAccount")["metadata"]
    assert pod_of(built)["serviceAccountName"] == account["name"]
    namespaces = {manifest["metadata"].get("namespace") for manifest in built if manifest["kind"] != "Namespace"}
    (namespace,) = namespaces
    if namespace is not None:
        created = one(built, "Namespace")["metadata"]
        assert created["name"] == namespace
        assert created["labels"]["pod-identity.alibabacloud.com/injection"] == "on"
        assert account["annotations"] == {"pod-identity.alibabacloud.com/role-name": "rtcmpu-exporter"}
