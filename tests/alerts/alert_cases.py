"""Cases for alerts: what Prometheus scrapes, minute by minute, and what fires when; `promtool test rules` decides."""

import json
import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import quote_plus

from msgspec import Struct
from msgspec.structs import replace

from tests.support.configurations import read_yaml
from tests.support.processes import ROOT, needed_tool

ALERTS_FILE: Final = ROOT / "deploy" / "prometheus" / "rtcmpu.alerts.yml"
RECORDS_FILE: Final = ROOT / "deploy" / "prometheus" / "rtcmpu.rules.yml"
RUNBOOKS: Final = "https://github.com/rtcmpu-exporter/rtcmpu-exporter/blob/main/docs/runbooks"
GRAFANA: Final = "http://localhost:3000/d"
EXPORTER: Final = "http://localhost:10678"

FIRST_WITH_OPEN_RANGES: Final = 3

FROM_ELSEWHERE: Final = {"up", "scrape_duration_seconds", "process_start_time_seconds"}
"""What Prometheus itself or the official client publishes."""

STALE: Final = "stale"  # the scrape failed, or no longer holds the series
GONE: Final = "_"  # no sample at all: what follows `STALE` for as long as the series is away

Samples: TypeAlias = Sequence[float | str]  # one for each step, the first at 0
World: TypeAlias = Mapping[str, Samples]  # what is scraped, by series


class Firing(Struct, frozen=True, kw_only=True):
    """One instance of an alert."""

    labels: Mapping[str, str]
    value: str = ""  # as the annotations show it
    queried: Mapping[str, str] = {}  # the annotations that say what they look up


class Case(Struct, frozen=True, kw_only=True):
    """What fires at some moments of one world."""

    about: str  # a sentence
    alert: str
    world: World
    fires: Mapping[str, Sequence[Firing]]  # by time since the start, such as `6m`; nothing: it is quiet then
    step: str = "1m"  # between two samples, and between two evaluations
    fires_by_prometheus_3: Mapping[str, Sequence[Firing]] = {}
    """Where that differs at a moment: its ranges leave out the sample at their beginning."""


def begins(at: str, firing: Firing) -> Mapping[str, Sequence[Firing]]:
    """Return that one instance fires from a minute on, and none a minute before."""
    return {f"{int(at.removesuffix('m')) - 1}m": [], at: [firing]}


def rules(text: str) -> list[dict[str, Any]]:
    """Return all rules of a file in their order."""
    return [rule for group in read_yaml(text)["groups"] for rule in group["rules"]]


def rule_info(rule: str, severity: str, *, title: str = "", owner: str = "", runbook: str = "", **more: str) -> str:
    """Return the series that says what a rule is."""
    about = {"rule": rule, "severity": severity, "title": title, "rule_owner": owner, "runbook_url": runbook}
    return series("rtcmpu_policy_rule_info", **about, **more)


def violated_rule(rule: str, severity: str, number: int, title: str, found: str = "", **firing: Any) -> Firing:
    """Return the alert about violations of a rule of the app `live`, which looks up the rule and examples."""
    labels = {"account": "prod", "app_id": "live", "severity": severity, "owner": "live-ops", "rule": rule}
    labels.update(firing.pop("labels", {}))
    about = f"App {labels['app_id']} of account prod, violations of {rule} ({title}): {number}."
    ending = " The exporter's page lists them with the expected values."
    return Firing(
        labels={name: value for name, value in labels.items() if value},
        queried={"description": about + found + ending, **firing},
    )


def series(metric: str, *, instance: str = "one", **labels: str) -> str:
    """Return a series of an exporter as Prometheus keeps it after a scrape."""
    pairs = {"job": "rtcmpu", "instance": instance, **labels}
    return f"{metric}{{{','.join(f'{name}={json.dumps(value)}' for name, value in pairs.items())}}}"


def of_app(metric: str, *, account: str = "prod", app_id: str = "live", instance: str = "one", **labels: str) -> str:
    """Return a series about an app."""
    return series(metric, instance=instance, account=account, app_id=app_id, **labels)


def away(samples: Samples, *, after: int, steps: int) -> list[float | str]:
    """Return samples of a series that is away for some steps."""
    return [*samples[:after], STALE, *[GONE] * (steps - 1), *samples[after + steps :]]


def healthy(steps: int, *, instance: str = "one", account: str = "prod", app_id: str = "live") -> dict[str, Samples]:
    """Return what an exporter says of one app with nothing wrong: ten tasks, and a rule that all of them pass."""

    def app(metric: str, **labels: str) -> str:
        return of_app(metric, account=account, app_id=app_id, instance=instance, **labels)

    def exporter(metric: str, **labels: str) -> str:
        return series(metric, instance=instance, **labels)

    now = [60.0 * step for step in range(steps)]
    rule = {"rule": "region", "severity": "critical"}
    return {
        exporter("up"): [1] * steps,
        exporter("scrape_duration_seconds"): [0.01] * steps,
        exporter("rtcmpu_exporter_config_last_reload_successful"): [1] * steps,
        exporter("rtcmpu_exporter_config_last_reload_success_timestamp_seconds"): [0] * steps,
        exporter("rtcmpu_exporter_api_throttled_total", account=account): [0] * steps,
        exporter("rtcmpu_exporter_clock_skew_seconds", account=account): [0.2] * steps,
        exporter("rtcmpu_exporter_series_omitted", path="/metrics/tasks"): [0] * steps,
        rule_info("region", "critical", title="Region as agreed", instance=instance): [1] * steps,
        app("rtcmpu_app_info", name="Live", owner="live-ops"): [1] * steps,
        app("rtcmpu_up"): [1] * steps,
        app("rtcmpu_collection_state", state="ok"): [1] * steps,
        app("rtcmpu_collection_state", state="timeout"): [0] * steps,
        app("rtcmpu_collection_state", state="auth_error"): [0] * steps,
        app("rtcmpu_collection_data_available"): [1] * steps,
        app("rtcmpu_collection_last_update_timestamp_seconds"): now,
        app("rtcmpu_collection_last_sweep_timestamp_seconds"): now,
        app("rtcmpu_collection_interval_seconds"): [10] * steps,
        app("rtcmpu_collection_sweep_interval_seconds"): [300] * steps,
        app("rtcmpu_collection_stale_after_seconds"): [900] * steps,
        app("rtcmpu_collection_interval_stretch_ratio"): [1] * steps,
        app("rtcmpu_tasks", task_region="CN-Shanghai", mix_mode="mixed"): [10] * steps,
        app("rtcmpu_task_quota", mix_mode="mixed"): [40] * steps,
        app("rtcmpu_task_changes_total", change="modified"): [0] * steps,
        app("rtcmpu_policy_violations", **rule): [0] * steps,
        app("rtcmpu_policy_evaluated_tasks", rule="region"): [10] * steps,
    }


def restarting(world: World, *, after: int, minutes: int, instance: str = "one") -> dict[str, Samples]:
    """Return a world in which an exporter can't be scraped for a while."""
    silent: dict[str, Samples] = {
        name: away(samples, after=after, steps=minutes)
        for name, samples in world.items()
        if name.startswith("rtcmpu_") and f'instance="{instance}"' in name
    }
    up = series("up", instance=instance)
    return {**world, **silent, up: [*world[up][:after], *[0] * minutes, *world[up][after + minutes :]]}


def in_an_environment(case: Case) -> Case:
    """Return a case whose targets have `env="production"`, beside the same exporter with nothing wrong in staging."""

    def labelled(world: World, env: str) -> dict[str, Samples]:
        return {name.replace("{", f'{{env="{env}",', 1): samples for name, samples in world.items()}

    def fires(moments: Mapping[str, Sequence[Firing]]) -> dict[str, list[Firing]]:
        return {
            at: [replace(one, labels={**one.labels, "env": "production"}) for one in firings]
            for at, firings in moments.items()
        }

    steps = max(map(len, case.world.values()))
    return replace(
        case,
        world=labelled(case.world, "production") | labelled(healthy(steps), "staging"),
        fires=fires(case.fires),
        fires_by_prometheus_3=fires(case.fires_by_prometheus_3),
    )


def promtool_test(case: Case) -> dict[str, Any]:
    """Return a case as promtool reads it: what fires and what should, labels and annotations included."""
    return {
        "name": case.about,
        "interval": case.step,
        "input_series": [
            {"series": name, "values": " ".join(map(str, samples))} for name, samples in case.world.items()
        ],
        "alert_rule_test": [
            {"eval_time": at, "alertname": case.alert, "exp_alerts": [_expected(case, one) for one in firings]}
            for at, firings in _fires(case).items()
        ],
    }


def run_promtool(
    tests: Sequence[Mapping[str, Any]], directory: Path, rule_files: Sequence[Path] = (ALERTS_FILE,)
) -> None:
    """Run tests that are written as promtool reads them, all by one process; rules are evaluated at a test's steps.

    A case of an alert is run without the others: evaluating all of them at each step takes five times as long.
    """
    by_file = defaultdict(list)
    for test in tests:
        (alert,) = {one["alertname"] for one in test.get("alert_rule_test", ())} or {""}
        by_file[alert, test["interval"]].append(test)
    files = []
    for (alert, step), of_file in by_file.items():
        used = [_rules_of(alert, directory)] if alert else rule_files
        files.append(directory / f"{alert or 'all'}.{step}.yml")
        files[-1].write_text(
            json.dumps({"rule_files": list(map(str, used)), "evaluation_interval": step, "tests": of_file})
        )
    done = subprocess.run(
        [needed_tool("promtool"), "test", "rules", *files],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"GOGC": "400"},  # it collects garbage less often: that is a sixth of its time
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _rules_of(alert: str, directory: Path) -> Path:
    """Write an alert with the recording rules that it needs, which come before it; return where."""
    path = directory / f"{alert}.rules.yml"
    needed: list[dict[str, Any]] = []
    for rule in reversed(_shipped()):
        if rule.get("alert") == alert or any(rule.get("record", "?") in other["expr"] for other in needed):
            needed.insert(0, rule)
    path.write_text(json.dumps({"groups": [{"name": alert, "rules": needed}]}))
    return path


def _fires(case: Case) -> Mapping[str, Sequence[Firing]]:
    """Return what fires by the promtool that is used."""
    return {**case.fires, **case.fires_by_prometheus_3} if _promtool_major() >= FIRST_WITH_OPEN_RANGES else case.fires


@cache
def _shipped() -> list[dict[str, Any]]:
    return rules(ALERTS_FILE.read_text(encoding="utf-8"))


@cache
def _annotations() -> Mapping[str, Mapping[str, str]]:
    """Return the annotations of each alert, as they are written."""
    return {rule["alert"]: rule["annotations"] for rule in _shipped() if "alert" in rule}


@cache
def _promtool_major() -> int:
    done = subprocess.run(
        [needed_tool("promtool"), "--version"], capture_output=True, text=True, check=True, timeout=30
    )
    version = re.match(r"promtool, version (\d+)\.", done.stdout + done.stderr)
    assert version, done
    return int(version[1])


def _expected(case: Case, firing: Firing) -> dict[str, Any]:
    """Return labels and annotations: the rule's, with the labels and the value; what they look up is given."""

    def shown(place: re.Match[str]) -> str:
        text = firing.labels[place["label"]] if place["label"] else firing.value
        return quote_plus(text) if place["how"] == "urlquery" else text

    written = _annotations()[case.alert]
    assert bool(firing.value) == ("$value" in written["description"]) or firing.queried, case.about
    annotations = {name: _PLACE.sub(shown, _QUERY.sub("", text)) for name, text in written.items()}
    return {"exp_labels": dict(firing.labels), "exp_annotations": {**annotations, **firing.queried}}


_QUERY: Final = re.compile(r"\{\{ with query .*\{\{ end \}\}")
_PLACE: Final = re.compile(r"\{\{ \$(?:value|labels\.(?P<label>\w+))(?: \| (?P<how>\w+))? \}\}")
