"""Tests of the Helm chart as a whole: it is well-formed, and what it yields is what Kubernetes takes."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import Chart, HelmRenderError, HelmValuesError, lint
from jsonschema import ValidationError

from exporter import __version__
from tests.deploy.manifests import (
    CHART,
    CI_VALUES,
    KUBERNETES_VERSIONS,
    LEAST,
    NAMESPACE,
    RELEASE,
    chart,
    ci_values,
    example,
    exporter_of,
    manifests_of,
    of_kind,
    one,
    rendered,
    rendered_files,
    validate,
)
from tests.support.command_line import parsed
from tests.support.configurations import read_yaml

ICON_IS_MISSING = {"severity": 1, "path": "Chart.yaml", "error": "icon is recommended"}
UNTOUCHED = {
    "": "existingSecret",
    "config.storage": "url",
    "credentials": "rrsaRoleName",
    "webConfig": "existingSecret tlsSecret tls clientCertificates",
    "serviceAccount": "create name",
    "persistence": "enabled existingClaim storageClassName accessModes annotations",
    "podSecurityContext": "fsGroup fsGroupChangePolicy runAsGroup runAsNonRoot seccompProfile.type",
    "securityContext": "allowPrivilegeEscalation capabilities.drop readOnlyRootFilesystem",
    "env": "MALLOC_MMAP_THRESHOLD_",
    "probes": "tcp",
    "probes.liveness": "enabled failureThreshold initialDelaySeconds timeoutSeconds",
    "probes.readiness": "failureThreshold initialDelaySeconds periodSeconds timeoutSeconds",
    "podDisruptionBudget": "maxUnavailable",
    "podMonitor": "enabled",
    "serviceMonitor": "tlsConfig basicAuth",
}
"""What the full example leaves as it is: other examples change it."""


@pytest.mark.parametrize("values", [None, *CI_VALUES])
def test_helm_finds_nothing_to_complain_about(values: str | None) -> None:
    """The linter is content with the chart's own values and with each example, the missing icon aside."""
    report = lint(CHART, ci_values(values) if values else None, strict=True)
    assert report["errors"] == []
    assert report["messages"] == [ICON_IS_MISSING]


def test_the_versions_are_the_program_s() -> None:
    """The chart installs the program that it comes with, and on clusters as old as the schemas that it is held to."""
    assert chart().metadata["appVersion"] == chart().version == __version__
    assert chart().metadata["kubeVersion"] == f">={KUBERNETES_VERSIONS[0]}.0-0"


@pytest.mark.parametrize("name", CI_VALUES)
def test_every_object_of_every_example_is_valid(name: str) -> None:
    """Each has no unknown key, for the oldest and the newest Kubernetes."""
    found = example(name)
    assert {"Deployment", "Service"} <= {manifest["kind"] for manifest in found}
    for manifest in found:
        validate(manifest)
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in found]
    assert len(names) == len(set(names))


def test_the_validation_can_fail() -> None:
    """An unknown key and a wrong type are noticed, in objects of Kubernetes and in custom ones."""
    found = example("full")
    with pytest.raises(yaml.constructor.ConstructorError, match="twice"):
        list(manifests_of("labels: {team: a, team: b}"))
    for kind, part in (("Deployment", "spec"), ("ServiceMonitor", "spec"), ("PrometheusRule", "spec")):
        manifest = copy.deepcopy(one(found, kind))
        manifest[part]["unknownKey"] = True
        with pytest.raises(ValidationError):
            validate(manifest)


def test_the_full_example_changes_every_value() -> None:
    """No value of the chart is left out of what is tested, but for those that exclude each other."""
    full = chart().merge_values(ci_values("full"))
    untouched = {path for path, value in leaves(chart().values) if get(full, path) == value}
    assert untouched == {f"{of}.{name}" if of else name for of, names in UNTOUCHED.items() for name in names.split()}


def test_the_archive_is_whole(tmp_path: Path) -> None:
    """What is packed yields the same as the directory, and leaves out the examples of its tests."""
    packed = Chart.load(chart().save(tmp_path))
    texts = packed.render(ci_values("full"), name=RELEASE, namespace=NAMESPACE)
    assert {Path(name).name: text for name, text in texts.items()} == rendered_files(ci_values("full"))
    assert not [file["name"] for file in packed.files if file["name"].startswith("ci/")]


@pytest.mark.parametrize(
    ("values", "mistake"),
    [
        ({"config": {"accounts": []}}, "name at least one account with an app"),
        ({"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}, "enable one of them"),
        (
            {"credentials": {"rrsaRoleName": "reader"}, "serviceAccount": {"create": False}},
            r"rrsaRoleName needs serviceAccount\.create",
        ),
    ],
)
def test_what_can_not_work_is_not_installed(values: dict[str, Any], mistake: str) -> None:
    """Without an app there is no pod, two monitors would scrape it twice, and a role needs the chart's account."""
    with pytest.raises(HelmRenderError, match=mistake):
        rendered(values)


def test_one_label_can_be_set_twice() -> None:
    """Labels of all objects and of one are merged: the more special one counts, and selectors stay as they are."""
    enabled = {
        "serviceMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True},
        "dashboards": {"enabled": True},
    }
    own = {"labels": {"team": "own"}}
    values = {name: {**enabled.get(name, {}), **own} for name in (*enabled, "service")}
    labels = {"team": "all", "app.kubernetes.io/name": "other"}
    found = rendered({**values, "commonLabels": labels, "podLabels": own["labels"]})
    kinds = {"Service", "ServiceMonitor", "PrometheusRule"}
    for manifest in found:
        is_own = manifest["kind"] in kinds or "grafana_dashboard" in manifest["metadata"]["labels"]
        assert manifest["metadata"]["labels"]["team"] == ("own" if is_own else "all")
        assert manifest["metadata"]["labels"]["app.kubernetes.io/name"] == "rtcmpu-exporter"
    assert one(found, "Deployment")["spec"]["template"]["metadata"]["labels"]["team"] == "own"


def test_an_ingress_leads_to_the_pages() -> None:
    """It publishes the path that is served, by the Service's port, and the exporter answers to its hosts."""
    ingress = {"enabled": True, "hosts": ["a.example.com", "b.example.com"]}
    found = rendered({"ingress": ingress, "web": {"routePrefix": "/relay"}})
    rules = one(found, "Ingress")["spec"]["rules"]
    assert [rule["host"] for rule in rules] == ingress["hosts"]
    for rule in rules:
        (path,) = rule["http"]["paths"]
        assert path["path"] == "/relay"
        assert path["backend"]["service"]["name"] == one(found, "Service")["metadata"]["name"]
        assert path["backend"]["service"]["port"]["name"] == one(found, "Service")["spec"]["ports"][0]["name"]
    assert parsed(exporter_of(found)["args"])["allowed_hosts"] == tuple(ingress["hosts"])
    stripped = rendered({"ingress": ingress, "web": {"externalUrl": "https://a.example.com/mpu/", "routePrefix": "/"}})
    assert one(stripped, "Ingress")["spec"]["rules"][0]["http"]["paths"][0]["path"] == "/mpu"


@pytest.mark.parametrize("name", CI_VALUES)
def test_selectors_find_the_pod(name: str) -> None:
    """Whatever selects the pod has labels that the pod has, and the Service's port is one of it."""
    found = example(name)
    template = one(found, "Deployment")["spec"]["template"]
    labels = template["metadata"]["labels"].items()
    selectors = [
        one(found, "Deployment")["spec"]["selector"]["matchLabels"],
        one(found, "Service")["spec"]["selector"],
        *(policy["spec"]["podSelector"]["matchLabels"] for policy in of_kind(found, "NetworkPolicy")),
        *(budget["spec"]["selector"]["matchLabels"] for budget in of_kind(found, "PodDisruptionBudget")),
        *(monitor["spec"]["selector"]["matchLabels"] for monitor in of_kind(found, "PodMonitor")),
    ]
    for selector in selectors:
        assert selector
        assert selector.items() <= labels
    service = one(found, "Service")
    for monitor in of_kind(found, "ServiceMonitor"):
        assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (port,) = service["spec"]["ports"]
    ports = {port["name"] for container in template["spec"]["containers"] for port in container.get("ports", ())}
    assert port["targetPort"] in ports


def test_notes_tell_what_is_left_to_do() -> None:
    """Who uses a role is told of the namespace's label, who has no scraping of that, and replicas of the quota."""
    notes = rendered_files(ci_values("rrsa"))["NOTES.txt"]
    assert "kubectl label namespace monitoring pod-identity.alibabacloud.com/injection=on" in notes
    assert "Prometheus does not scrape it yet" in notes
    assert "does not scrape it yet" not in rendered_files(ci_values("full"))["NOTES.txt"]
    assert "2 replicas share" in rendered_files(ci_values("full"))["NOTES.txt"]
    assert "No access key is given" in rendered_files(LEAST)["NOTES.txt"]


def test_the_readme_shows_values_that_work() -> None:
    """Each block of values in the chart's README can be installed."""
    blocks = [
        block.split("```")[0] for block in (CHART / "README.md").read_text(encoding="utf-8").split("```yaml\n")[1:]
    ]
    assert blocks
    for block in blocks:
        rendered(read_yaml(block))


def leaves(values: Any, path: str = "") -> Any:
    """Yield the path and the value of everything that is no mapping with entries."""
    if isinstance(values, dict) and values:
        for name, value in values.items():
            yield from leaves(value, f"{path}.{name}" if path else name)
    else:
        yield path, values


def get(values: Any, path: str) -> Any:
    """Return what is at a path."""
    for name in path.split("."):
        values = values.get(name) if values else None
    return values


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"replicas": 1}, "replicas"),
        ({"replicaCount": "one"}, "/replicaCount"),
        ({"replicaCount": -1}, "/replicaCount"),
        ({"image": {"tag": "no spaces"}}, "/image/tag"),
        ({"image": {"digest": "sha256:short"}}, "/image/digest"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
        ({"imagePullSecrets": ["registry"]}, "/imagePullSecrets/0"),
        ({"log": {"level": "trace"}}, "/log/level"),
        ({"log": {"colour": True}}, "colour"),
        ({"web": {"telemetryPath": "metrics"}}, "/web/telemetryPath"),
        ({"env": {"NUMBER": 1}}, "/env/NUMBER"),
        ({"extraArgs": [1]}, "/extraArgs/0"),
        ({"extraEnv": [{"value": "x"}]}, "/extraEnv/0"),
        ({"existingSecret": "Not_A_Name"}, "/existingSecret"),
        ({"credentials": {"existingSecret": "key", "rrsaRoleName": "reader"}}, "/credentials"),
        ({"credentials": {"accessKeySecret": "made-up"}}, "accessKeySecret"),
        ({"webConfig": {"content": {"basic_auth_users": {"me": "plain"}}}}, "/webConfig/content/basic_auth_users/me"),
        ({"webConfig": {"content": {"users": {}}}}, "users"),
        ({"terminationGracePeriodSeconds": 5}, "/terminationGracePeriodSeconds"),
        ({"service": {"port": 70000}}, "/service/port"),
        ({"ingress": {"enabled": True}}, "/ingress/hosts"),
        ({"ingress": {"enabled": True, "hosts": ["https://relay.example.com"]}}, "/ingress/hosts/0"),
        ({"probes": {"liveness": {"httpGet": {}}}}, "httpGet"),
        ({"podDisruptionBudget": {"minAvailable": "half"}}, "/podDisruptionBudget/minAvailable"),
        ({"persistence": {"size": "much"}}, "/persistence/size"),
        ({"serviceMonitor": {"interval": "often"}}, "/serviceMonitor/interval"),
        ({"prometheusRule": {"thresholds": {"dropRatio": 2}}}, "/prometheusRule/thresholds/dropRatio"),
        ({"prometheusRule": {"thresholds": {"drop_ratio": 0.5}}}, "drop_ratio"),
        ({"prometheusRule": {"targetLabels": ["no-label"]}}, "/prometheusRule/targetLabels/0"),
        ({"prometheusRule": {"overrides": {"RtcmpuChurnHigh": {"threshold": 1}}}}, "threshold"),
        ({"links": {"grafana": "https://grafana.example.com/"}}, "/links/grafana"),
        ({"appFiles": {"../east.yml": []}}, "../east.yml"),
        ({"appFiles": {"east.yml": [{"name": "no id"}]}}, "/appFiles/east.yml/0"),
        ({"config": {"interval": "10s"}}, "interval"),
        ({"config": {"collection": {"interval": "soon"}}}, "/config/collection/interval"),
        ({"config": {"accounts": [{"name": "no good"}]}}, "/config/accounts/0/name"),
        ({"config": {"accounts": [{"name": "a", "requests_per_second": 51}]}}, "/config/accounts/0"),
        ({"config": {"accounts": [{"name": "a", "app_files": [""]}]}}, "/config/accounts/0/app_files/0"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], place: str) -> None:
    """A misspelt name, a wrong type and a value out of bounds are refused, and the error says where."""
    with pytest.raises(HelmValuesError) as refused:
        rendered(values)
    assert place in str(refused.value)


def test_the_schema_knows_each_value() -> None:
    """What the chart has a default for is in the schema, and the other way round."""
    schema = chart().schema
    assert schema is not None

    def both(properties: dict[str, Any], values: dict[str, Any], where: str) -> None:
        added_by_helm = {"global", "enabled"} if not where else set()
        assert set(properties) - added_by_helm == set(values), where
        for name, part in properties.items():
            if "properties" in part and isinstance(values.get(name), dict) and values[name]:
                both(part["properties"], values[name], f"{where}/{name}")

    properties = {name: part for name, part in schema["properties"].items() if name != "config"}
    properties["resources"] = {}
    properties["webConfig"]["properties"]["content"] = {}
    both({**properties, "config": {}}, chart().values, "")
