"""Tests of what the chart refuses: every value is checked before anything is installed."""

from typing import Any

import pytest
from helm_python import HelmValuesError

from tests.deploy.manifests import LEAST, chart, rendered


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


def test_the_least_values_are_accepted() -> None:
    """What these tests change is fine without the change."""
    chart().validate_schema({**chart().values, **LEAST})
