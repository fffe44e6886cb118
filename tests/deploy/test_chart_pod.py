"""Tests of the pod that the chart starts: what it may do, what it is given, and that the program accepts it."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from exporter import __version__
from exporter.core.regular_file import SeenFiles
from exporter.rules.rule_loader import load
from exporter.web.webconfig.web_config import read_web_config
from tests.deploy.manifests import (
    CI_VALUES,
    LEAST,
    Manifest,
    ci_values,
    example,
    exporter_of,
    named_file,
    of_kind,
    one,
    pod_of,
    rendered,
    write_mounts,
)
from tests.support.command_line import parsed
from tests.support.configurations import read_yaml
from tests.support.processes import needed_tool

ENVIRONMENT = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "made-up", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "made-up"}


@pytest.fixture(scope="module")
def taken_for_granted() -> list[Manifest]:
    """Return the objects of somebody else that the examples name."""
    certificate = trustme.CA().issue_cert("localhost")
    secrets = {
        "rtcmpu-exporter-tls": {
            "tls.crt": certificate.cert_chain_pems[0].bytes().decode(),
            "tls.key": certificate.private_key_pem.bytes().decode(),
        },
        "rtcmpu-configuration": {"rtcmpu.yml": yaml.safe_dump(LEAST["config"])},
        "rtcmpu-web": {"web.yml": "http_server_config: {http2: true}"},
    }
    corporate = {"kind": "ConfigMap", "metadata": {"name": "corporate-ca"}, "data": {}}
    return [
        corporate,
        *({"kind": "Secret", "metadata": {"name": name}, "stringData": data} for name, data in secrets.items()),
    ]


@pytest.mark.parametrize("name", CI_VALUES)
def test_the_program_accepts_the_configuration(name: str, taken_for_granted: list[Manifest], tmp_path: Path) -> None:
    """Its flags are the program's, each once; what the container sees has no mistake, and all apps and rules."""
    arguments = exporter_of(example(name))["args"]
    parsed(arguments)
    flags = [argument.split("=")[0] for argument in arguments]
    assert len(flags) == len(set(flags))
    found = [*example(name), *taken_for_granted]
    write_mounts(found, tmp_path)
    loaded = load(named_file(found, "--config.file", tmp_path), ENVIRONMENT)
    (account,) = loaded.config.accounts
    apps = {app.id for app in account.apps}
    assert apps == ({"live-main", "007", "live-east", "live-west"} if name == "full" else {"live-main"})
    rules = {rule.rule.name for rule in loaded.rule_set.rules}
    assert ("push-to-us" in rules) == (name == "full")


@pytest.mark.parametrize("name", ["full", "web-tls"])
def test_the_program_accepts_the_web_configuration(
    name: str, taken_for_granted: list[Manifest], tmp_path: Path
) -> None:
    """The file that the container sees and the certificates that it names are without a mistake."""
    found = [*example(name), *taken_for_granted]
    write_mounts(found, tmp_path)
    config = read_web_config(named_file(found, "--web.config.file", tmp_path), SeenFiles())
    assert (config.tls is not None, set(config.users)) == (
        (True, {b"prometheus"}) if name == "web-tls" else (False, set())
    )


@pytest.mark.processes
def test_prometheus_accepts_the_web_configuration(taken_for_granted: list[Manifest], tmp_path: Path) -> None:
    """So do those who defined the format; `rate_limit` of the full example is too new for the promtool of Debian 12."""
    promtool = needed_tool("promtool")
    found = [*example("web-tls"), *taken_for_granted]
    write_mounts(found, tmp_path)
    file = named_file(found, "--web.config.file", tmp_path)
    done = subprocess.run([promtool, "check", "web-config", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted(set(CI_VALUES) - {"full"}))
def test_the_pod_has_no_rights(name: str) -> None:
    """It meets the strictest of Kubernetes' own standards, and can't write outside its volume."""
    pod, container = pod_of(example(name)), exporter_of(example(name))
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    if name == "openshift":
        assert pod["securityContext"].keys() == {"runAsNonRoot", "fsGroupChangePolicy", "seccompProfile"}
    else:
        assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all(mount.get("readOnly") for mount in container["volumeMounts"] if mount["name"] != "state")
    assert container["resources"]["limits"]["memory"]


def test_two_pods_never_read_at_once_unless_they_share() -> None:
    """A rollout ends the old pod first; with `sharing` no pod is surplus, and each knows what it advertises."""
    for name in CI_VALUES:
        assert one(example(name), "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    sharing = {"storage": {"url": "postgresql+psycopg://a@b/c"}, "sharing": {"exporters": 2}}
    manifests = rendered({"config": {**LEAST["config"], **sharing}, "replicaCount": 2})
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    assert one(manifests, "Deployment")["spec"]["strategy"] == strategy
    assert "POD_IP" in {variable["name"] for variable in exporter_of(manifests)["env"]}


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({}, f"rtcmpu-exporter:{__version__}"),
        ({"tag": "1.2"}, "rtcmpu-exporter:1.2"),
        ({"registry": "registry.example.com:5000"}, f"registry.example.com:5000/rtcmpu-exporter:{__version__}"),
        ({"tag": "1.2", "digest": f"sha256:{'0' * 64}"}, f"rtcmpu-exporter@sha256:{'0' * 64}"),
    ],
)
def test_the_image_is_named(image: dict[str, Any], expected: str) -> None:
    """Registry and tag may be left out; a digest says it all."""
    assert exporter_of(rendered({"image": image}))["image"] == expected


KEY = {"access_key_id": "id"}
URI = "http://127.0.0.1/?token=swordfish"


@pytest.mark.parametrize(
    ("account", "rest"),
    [
        ({"credentials": {**KEY, "access_key_secret": "swordfish"}}, {}),
        ({"credentials": {**KEY, "access_key_secret_file": "/run/key", "security_token": "swordfish"}}, {}),
        ({"credentials": {"type": "credentials_uri", "uri": URI}}, {}),
        ({"proxy": "http://me:swordfish@proxy:3128"}, {}),
        ({}, {"storage": {"url": "postgresql+psycopg://me:swordfish@db/rtcmpu"}}),
        ({}, {"storage": {"url": "postgresql+psycopg:///rtcmpu?host=db&password=swordfish"}}),
    ],
)
def test_a_secret_is_in_no_config_map(account: dict[str, Any], rest: dict[str, Any]) -> None:
    """A configuration with a secret in plain text becomes a Secret, and the value is nowhere else."""
    values = {"accounts": [{"name": "production", "apps": [{"id": "live-main"}], **account}], **rest}
    assert [each["kind"] for each in rendered({"config": values}) if "swordfish" in str(each)] == ["Secret"]


def test_passwords_are_secret_and_variables_are_not() -> None:
    """Hashes of a web configuration are in a Secret; what only names variables or a user stays a ConfigMap."""
    (bcrypt_hash,) = ci_values("web-tls")["webConfig"]["content"]["basic_auth_users"].values()
    assert [manifest["kind"] for manifest in example("web-tls") if bcrypt_hash in str(manifest)] == ["Secret"]
    values = {**LEAST["config"], "storage": {"url": "postgresql+psycopg://me@db/rtcmpu"}}
    assert [each["kind"] for each in rendered({"config": values}) if "me@db" in str(each)] == ["ConfigMap"]
    (config,) = [manifest for manifest in example("web-tls") if manifest["metadata"]["name"].endswith("-config")]
    assert config["kind"] == "ConfigMap"
    names = {variable["name"]: variable.get("valueFrom") for variable in exporter_of(example("web-tls"))["env"]}
    assert names["ALIBABA_CLOUD_ACCESS_KEY_SECRET"] == {
        "secretKeyRef": {"name": "rtcmpu-access-key", "key": "access_key_secret"}
    }


def test_a_role_is_named_to_the_webhook() -> None:
    """With RRSA the service account is annotated, and no key is given to the pod."""
    found = example("rrsa")
    account = one(found, "ServiceAccount")
    assert account["metadata"]["annotations"] == {"pod-identity.alibabacloud.com/role-name": "rtcmpu-exporter"}
    assert pod_of(found)["serviceAccountName"] == account["metadata"]["name"]
    assert [variable["name"] for variable in exporter_of(found)["env"]] == ["MALLOC_MMAP_THRESHOLD_"]


def test_a_changed_configuration_starts_a_new_pod() -> None:
    """The pod's checksum follows the configuration and its files, and is not there when changes are taken on alive."""

    def checksum(values: dict[str, Any]) -> str | None:
        annotations = one(rendered(values), "Deployment")["spec"]["template"]["metadata"]["annotations"]
        found: str | None = annotations.get("checksum/config")
        return found

    files = {"east.yml": [{"id": "live-east"}]}
    checksums = {checksum({}), checksum({"appFiles": files}), checksum({"ruleFiles": {"a.yml": {"rules": []}}})}
    assert len(checksums) == 3
    assert checksum({"replicaCount": 2}) in checksums
    assert checksum({"restartOnConfigChange": False}) is None


def test_the_database_is_on_the_volume() -> None:
    """What the chart configures is where it may write, for as long as the volume lives."""
    found = rendered({"persistence": {"enabled": True, "storageClassName": "fast"}})
    (config,) = of_kind(found, "ConfigMap")
    database = read_yaml(config["data"]["rtcmpu.yml"])["storage"]["url"].removeprefix("sqlite:")
    (mount,) = [mount for mount in exporter_of(found)["volumeMounts"] if mount["name"] == "state"]
    assert str(Path(database).parent) == mount["mountPath"]
    (volume,) = [volume for volume in pod_of(found)["volumes"] if volume["name"] == "state"]
    claim = one(found, "PersistentVolumeClaim")
    assert volume["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}
    assert claim["spec"]["storageClassName"] == "fast"


@pytest.mark.parametrize(
    ("values", "how"),
    [
        ({}, {"httpGet": {"port": "http", "scheme": "HTTP"}}),
        ({"webConfig": {"content": {"tls_server_config": {}, "rate_limit": {}}}}, {"httpGet": {"scheme": "HTTP"}}),
        ({"webConfig": {"content": {"tls_server_config": {"cert_file": "c"}}}}, {"httpGet": {"scheme": "HTTPS"}}),
        ({"webConfig": {"existingSecret": "web", "tls": True}}, {"httpGet": {"scheme": "HTTPS"}}),
        (
            {"webConfig": {"content": {"tls_server_config": {"client_auth_type": "RequireAndVerifyClientCert"}}}},
            {"tcpSocket": {"port": "http"}},
        ),
        ({"webConfig": {"existingSecret": "web", "clientCertificates": True}}, {"tcpSocket": {"port": "http"}}),
        ({"probes": {"tcp": True}}, {"tcpSocket": {"port": "http"}}),
    ],
)
def test_probes_ask_in_a_way_that_is_answered(values: dict[str, Any], how: dict[str, Any]) -> None:
    """Encrypted where the server is, and by the port alone where a probe would need a certificate."""
    container = exporter_of(rendered(values))
    for name, path in (("livenessProbe", "/-/healthy"), ("readinessProbe", "/-/ready")):
        (kind,) = {"httpGet", "tcpSocket"} & set(container[name])
        asked = container[name][kind]
        assert kind in how
        assert how[kind].items() <= asked.items()
        assert asked.get("path") == (path if kind == "httpGet" else None)


@pytest.mark.parametrize(
    ("web", "prefix"),
    [
        ({"externalUrl": "https://metrics.example.com/live/rtcmpu/"}, "/live/rtcmpu"),
        ({"externalUrl": "https://metrics.example.com"}, ""),
        ({"externalUrl": "https://metrics.example.com/live", "routePrefix": "/"}, ""),
        ({"routePrefix": "inner/"}, "/inner"),
    ],
)
def test_probes_and_scrapes_are_below_the_route_prefix(web: dict[str, Any], prefix: str) -> None:
    """The flags are passed on, and what asks the exporter directly uses the path that it serves below."""
    manifests = rendered({"web": web, "serviceMonitor": {"enabled": True}})
    container = exporter_of(manifests)
    flags = {"externalUrl": "--web.external-url", "routePrefix": "--web.route-prefix"}
    assert {f"{flags[name]}={value}" for name, value in web.items()} <= set(container["args"])
    assert container["livenessProbe"]["httpGet"]["path"] == f"{prefix}/-/healthy"
    assert container["readinessProbe"]["httpGet"]["path"] == f"{prefix}/-/ready"
    assert one(manifests, "ServiceMonitor")["spec"]["endpoints"][0]["path"] == f"{prefix}/metrics"


@pytest.mark.parametrize(
    ("values", "bounds"),
    [
        ({}, {"maxUnavailable": 1}),
        ({"maxUnavailable": "50%"}, {"maxUnavailable": "50%"}),
        ({"minAvailable": 0}, {"minAvailable": 0}),
    ],
)
def test_a_disruption_budget_has_one_bound(values: dict[str, Any], bounds: dict[str, Any]) -> None:
    """Kubernetes refuses both; the least number goes before the other."""
    budget = one(rendered({"podDisruptionBudget": {"enabled": True, **values}}), "PodDisruptionBudget")["spec"]
    assert {name: budget[name] for name in budget if name != "selector"} == bounds


def test_a_file_of_somebody_else_is_mounted_in_place_of_the_chart_s() -> None:
    """With Secrets of one's own the chart makes no object that holds a configuration."""
    found = example("existing-secret")
    assert not of_kind(found, "ConfigMap")
    assert not of_kind(found, "Secret")
    volumes = {volume["name"]: volume for volume in pod_of(found)["volumes"]}
    assert volumes["config"]["projected"]["sources"][0]["secret"]["name"] == "rtcmpu-configuration"
    assert volumes["web"]["secret"]["secretName"] == "rtcmpu-web"
    assert volumes["state"]["persistentVolumeClaim"]["claimName"] == "rtcmpu-state"
    assert pod_of(found)["serviceAccountName"] == "monitoring"
