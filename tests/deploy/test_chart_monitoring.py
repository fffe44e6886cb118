"""Tests of what the chart tells Prometheus and Grafana: the same as the files that are in the repository."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import HelmRenderError

from grafana.generate import dashboard_files
from tests.alerts.alert_cases import ALERTS_FILE, EXPORTER, RECORDS_FILE
from tests.deploy.manifests import RELEASE, Manifest, chart, example, of_kind, one, rendered
from tests.support.configurations import read_yaml
from tests.support.processes import ROOT, needed_tool

SERVICE = f"http://{RELEASE}-rtcmpu-exporter.monitoring:10678"


def rule_groups(**values: Any) -> list[dict[str, Any]]:
    """Return the groups of the PrometheusRule."""
    groups: list[dict[str, Any]] = one(rendered({"prometheusRule": {"enabled": True, **values}}), "PrometheusRule")[
        "spec"
    ]["groups"]
    return groups


def alerts_of(groups: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the alerts by name; some have one for each severity."""
    found: dict[str, list[dict[str, Any]]] = {}
    for group in groups:
        for rule in group["rules"]:
            if "alert" in rule:
                found.setdefault(rule["alert"], []).append(rule)
    return found


def groups_in(text: str) -> Any:
    """Return the groups of a rule file."""
    return read_yaml(text)["groups"]


def alerts_with(thresholds: dict[str, Any]) -> Any:
    """Return the groups of the repository's alerts with other numbers before their names, and links to the Service."""
    text = ALERTS_FILE.read_text().replace(EXPORTER, SERVICE)
    for name, number in thresholds.items():
        text, places = re.subn(rf"[0-9.]+( # {name})$", rf"{number:g}\1", text, flags=re.MULTILINE)
        assert places, name
    return groups_in(text)


def test_the_rules_are_those_of_the_repository() -> None:
    """Recording rules and alerts are the same, but for the links to the exporter's own pages."""
    assert rule_groups() == groups_in(RECORDS_FILE.read_text()) + alerts_with({})


def test_the_default_thresholds_are_the_same() -> None:
    """The chart's values repeat the numbers of the alerts, each by its name, and none is missing."""
    named = re.findall(r" ([0-9.]+) # ([a-z]+[A-Z]\w+)$", ALERTS_FILE.read_text(), re.MULTILINE)
    values = chart().values["prometheusRule"]["thresholds"]
    assert {(name, float(number)) for number, name in named} == {(name, float(each)) for name, each in values.items()}


def test_thresholds_reach_the_alerts() -> None:
    """With each threshold at another value, the alerts are those of the repository with the same ones."""
    names = chart().values["prometheusRule"]["thresholds"]
    numbers: dict[str, Any] = {name: 10 + place / 4 for place, name in enumerate(names)}
    numbers |= {"dropRatio": 0.125, "dropLeastTasks": 123, "exemptionLeftSeconds": 172800}
    assert rule_groups(thresholds=numbers, recordingRules=False) == alerts_with(numbers)


def test_single_alerts_can_be_changed() -> None:
    """An alert is left out, or gets another duration and severity; labels are added; all else stays."""
    changed = alerts_of(one(example("full"), "PrometheusRule")["spec"]["groups"])
    usual = alerts_of(rule_groups())
    assert set(usual) - set(changed) == {"RtcmpuChurnHigh"}
    (failing,) = changed["RtcmpuAppFailing"]
    assert (failing["for"], failing["labels"]["severity"]) == ("30m", "critical")
    assert all(rule["labels"]["team"] == "live-platform" for rules in changed.values() for rule in rules)
    (down,), (usual_down,) = changed["RtcmpuExporterDown"], usual["RtcmpuExporterDown"]
    assert down["labels"] == {**usual_down["labels"], "team": "live-platform"}
    assert down["expr"] == usual_down["expr"].replace('job="rtcmpu"', 'job="relay"').replace("(env,", "(env, cluster,")
    assert down["annotations"]["runbook_url"] == "https://runbooks.example.com/rtcmpu/RtcmpuExporterDown.md"


def test_an_expression_can_be_replaced() -> None:
    """For what is no threshold, there is the whole expression."""
    groups = rule_groups(overrides={"RtcmpuExporterDown": {"expr": "vector(1)"}})
    assert [rule["expr"] for rule in alerts_of(groups)["RtcmpuExporterDown"]] == ["vector(1)"]


def test_a_change_to_no_alert_is_refused() -> None:
    """A misspelt name would change nothing, and nobody would notice."""
    with pytest.raises(HelmRenderError, match="RtcmpuExporterDawn: no alert is called so, expected one of Rtcmpu"):
        rule_groups(overrides={"RtcmpuExporterDawn": {"enabled": False}})


@pytest.mark.processes
def test_promtool_accepts_the_rules(tmp_path: Path) -> None:
    """What the operator would hand to Prometheus passes its own check, lint included, with every value changed."""
    groups = one(example("full"), "PrometheusRule")["spec"]["groups"]
    promtool = needed_tool("promtool")
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": groups}), encoding="utf-8")
    done = subprocess.run(
        [promtool, "check", "rules", "--lint=all", "--lint-fatal", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def dashboards_of(manifests: Sequence[Manifest]) -> dict[str, str]:
    """Return the dashboards in the ConfigMaps that Grafana's sidecar looks for."""
    maps = [one for one in of_kind(manifests, "ConfigMap") if "grafana_dashboard" in one["metadata"]["labels"]]
    assert all(manifest["metadata"]["labels"]["grafana_dashboard"] == "1" for manifest in maps)
    assert all(manifest["metadata"]["annotations"]["grafana_folder"] == "Live relay tasks" for manifest in maps)
    return {name: text for manifest in maps for name, text in manifest["data"].items()}


def test_dashboards_are_the_files_but_for_the_exporter_s_address() -> None:
    """No template touches them; links lead where those of the alerts do."""
    files = {Path(name).name: text.replace(EXPORTER, SERVICE) for name, text in dashboard_files().items()}
    assert dashboards_of(rendered({"dashboards": {"enabled": True}})) == files


def test_links_lead_to_the_external_url_unless_they_are_set() -> None:
    """An address that the pages are published on is where people are sent, for dashboards and alerts alike."""
    enabled = {"dashboards": {"enabled": True}, "prometheusRule": {"enabled": True}}
    for values, expected in (
        ({"web": {"externalUrl": "https://example.com/relay/"}}, "https://example.com/relay"),
        ({"web": {"routePrefix": "/relay"}}, f"{SERVICE}/relay"),
        ({"ingress": {"enabled": True, "hosts": ["a.example"]}}, "http://a.example"),
        (
            {"web": {"externalUrl": "https://a.example"}, "links": {"exporter": "https://b.example"}},
            "https://b.example",
        ),
    ):
        found = rendered({**enabled, **values})
        assert all(f'"query": "{expected}"' in text for text in dashboards_of(found).values())
        urls = re.findall(r"violations_url: (.*)/violations", yaml.safe_dump(one(found, "PrometheusRule"), width=1000))
        assert set(urls) == {expected}


@pytest.mark.processes
def test_make_and_the_chart_yield_the_same(tmp_path: Path) -> None:
    """Links, job and target labels reach rules and dashboards in the same places, with Helm and without."""
    for name in ("Makefile", "grafana", "deploy"):
        (tmp_path / name).symlink_to(ROOT / name)
    grafana, exporter, runbooks = (f"https://{name}.example.com" for name in ("grafana", "relay", "runbooks"))
    done = subprocess.run(
        ["make", "monitoring", f"GRAFANA_URL={grafana}/", f"EXPORTER_URL={exporter}", f"RUNBOOK_URL={runbooks}",
         "JOB=relay", "TARGET_LABELS=cluster,site"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    directory = tmp_path / "build/monitoring"
    made = {path.name: path.read_text().replace("cluster,site", "cluster, site") for path in directory.iterdir()}
    links = {"grafana": grafana, "exporter": exporter, "runbooks": runbooks}
    found = rendered(
        {
            "links": links,
            "prometheusRule": {"enabled": True, "targetLabels": ["cluster", "site"]},
            "serviceMonitor": {"jobName": "relay"},
            "dashboards": {"enabled": True},
        }
    )
    groups = [group for name in (RECORDS_FILE.name, ALERTS_FILE.name) for group in groups_in(made.pop(name))]
    assert one(found, "PrometheusRule")["spec"]["groups"] == groups
    assert dashboards_of(found) == made
    assert "on (env, cluster, site, account)" in str(groups)
    assert "localhost" not in str([groups, made])


@pytest.mark.parametrize("kind", ["ServiceMonitor", "PodMonitor"])
def test_the_job_is_the_one_that_alerts_name(kind: str) -> None:
    """Metrics are scraped under the alerts' job, and series of single tasks under another, or `up` would be double."""
    enabled = {kind[0].lower() + kind[1:]: {"enabled": True}}
    shared = {"serviceMonitor": {"taskMetrics": True, **enabled.get("serviceMonitor", {})}}
    specification = one(rendered({**enabled, **shared}), kind)["spec"]
    endpoints = specification["endpoints" if kind == "ServiceMonitor" else "podMetricsEndpoints"]
    jobs = {endpoint["path"]: endpoint["relabelings"][0] for endpoint in endpoints}
    assert jobs == {
        "/metrics": {"targetLabel": "job", "replacement": "rtcmpu"},
        "/metrics/tasks": {"targetLabel": "job", "replacement": "rtcmpu-tasks"},
    }
    assert specification["namespaceSelector"] == {"matchNames": ["monitoring"]}


def test_an_encrypted_server_is_scraped_with_https() -> None:
    """Who sets up TLS for the server need not say so again to Prometheus."""
    (endpoint,) = one(example("web-tls"), "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["scheme"] == "https"
    assert endpoint["basicAuth"]["password"] == {"name": "rtcmpu-scrape", "key": "password"}


def test_nothing_is_reported_unless_it_is_asked_for() -> None:
    """A cluster without the Prometheus operator knows none of these kinds."""
    kinds = {manifest["kind"] for manifest in rendered()}
    assert kinds == {"ConfigMap", "Deployment", "Service", "ServiceAccount"}
