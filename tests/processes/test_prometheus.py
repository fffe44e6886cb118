"""The whole way: from a service's tasks to what a real Prometheus answers about them."""

import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest
from prometheus_client.parser import text_string_to_metric_families

from exporter.config.model import Buckets
from exporter.simulator.simulation import ACCOUNTS
from tests.oracle.rule_truth import listed_fleet, true_metrics, true_violations
from tests.support.configurations import account, demo_accounts, write_configuration
from tests.support.http import ask, ask_json
from tests.support.processes import Programs, Running, eventually, needed_tool
from tests.support.prometheus import Prometheus, Series, start_prometheus

pytestmark = pytest.mark.processes

SWEEP_SECONDS = 2
OLDEST = "max((time() - rtcmpu_collection_last_{}_timestamp_seconds) / rtcmpu_collection_stale_after_seconds)"
"""The age of the oldest data, as a share of the age at which it would be withdrawn."""

COUNTS = {
    "rtcmpu_push_auth_next_expiry_timestamp_seconds",
    "rtcmpu_tasks",
    "rtcmpu_tasks_by_audio",
    "rtcmpu_tasks_by_billing_tier",
    "rtcmpu_tasks_by_source",
    "rtcmpu_tasks_by_video",
    "rtcmpu_tasks_without_idle_timeout",
    "rtcmpu_task_configured_egress_bytes_per_second",
    "rtcmpu_task_field_errors",
    "rtcmpu_task_outputs",
    "rtcmpu_task_outputs_by_host",
    "rtcmpu_task_outputs_by_push_auth",
    "rtcmpu_task_unknown_values",
}
DISTRIBUTIONS = {
    "rtcmpu_task_audio_bitrate_bytes_per_second",
    "rtcmpu_task_frame_pixels",
    "rtcmpu_task_gop_duration_seconds",
    "rtcmpu_task_idle_timeout_seconds",
    "rtcmpu_task_panes",
    "rtcmpu_task_users",
    "rtcmpu_task_video_bitrate_bytes_per_second",
    "rtcmpu_task_video_framerate_hertz",
}
COMPARED = COUNTS | {f"{name}_{part}" for name in DISTRIBUTIONS for part in ("gcount", "gsum")}

APPS = ("app-1, quota: {single: 200}", "app-2, quota: {single: none, mixed: 77}", "app-3")
REST = f"collection: {{interval: 500ms, sweep_interval: {SWEEP_SECONDS}s, stale_after: 60s}}\n"
EXPECTED = "expect: {video_bitrate_kbps: {max: 1500}}"
"""Tasks change across this border all the time; that is beside what the simulator knows to be wrong."""
CHURN_SECONDS, EVENTS_PER_SECOND = 10, 15
SHARES = ("evaluated", "not_applicable", "exempted", "unevaluable")


class World(NamedTuple):
    """A fleet, the exporter that reads it, and a Prometheus that scrapes that."""

    services: Mapping[str, str]  # the URL of the simulator behind each account
    daemon: Running
    url: str
    prometheus: Prometheus

    @property
    def simulators(self) -> set[str]:
        return set(self.services.values())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Start everything, with the fleet at rest."""
    with Programs(tmp_path_factory.mktemp("world")) as programs:
        demo = programs.start_demo_fleet()
        _, simulator = programs.start_simulator("--apps=3", "--tasks=150", "--churn=0", "--seed=7")
        accounts = [*demo_accounts(demo, EXPECTED), account(simulator, APPS, name="simulated")]
        configuration = write_configuration(programs.directory, *accounts, rest=REST)
        daemon, url = programs.start_daemon(configuration)
        prometheus = start_prometheus(programs, url.removeprefix("http://"))
        services = {account.name: demo for account in ACCOUNTS} | {"simulated": simulator}
        yield World(services, daemon, url, prometheus)
        ended = daemon.end()
        assert ended.code == 0
        assert not [line for line in ended.err.splitlines() if not line.startswith("ts=")]


@pytest.fixture(scope="module")
def published(world: World) -> Mapping[Series, float]:
    """Wait until what Prometheus has equals the truth of the fleet at rest; tests that change the fleet come later."""
    return _equal_to_truth(world)


def test_every_family_equals_the_truth_for_every_app(published: Mapping[Series, float]) -> None:
    """What PromQL says of all tasks of all apps is what the simulators say is true, sample by sample."""
    assert {name for name, _ in published} == COMPARED
    apps = {(dict(labels)["account"], dict(labels)["app_id"]) for _, labels in published}
    with_tasks = {(account.name, app.id) for account in ACCOUNTS for app in account.apps if app.tasks}
    assert apps == with_tasks | {("simulated", f"app-{number}") for number in (1, 2, 3)}


def test_the_questions_of_an_operator_have_the_right_answers(world: World, published: Mapping[Series, float]) -> None:
    """Sums over the fleet, shares of quotas and counts of apps come out of PromQL as they should."""
    tasks = sum(value for (name, _), value in published.items() if name == "rtcmpu_tasks")
    assert world.prometheus.value("sum(rtcmpu_tasks)") == tasks > 2000
    bitrate = sum(v for (name, _), v in published.items() if name == "rtcmpu_task_video_bitrate_bytes_per_second_gsum")
    assert world.prometheus.value("sum(rtcmpu_task_video_bitrate_bytes_per_second_gsum) * 8") == 8 * bitrate
    single = 'rtcmpu_tasks{account="simulated",app_id="app-1",mix_mode="single"}'
    share = f"sum without (task_region) ({single}) / ignoring (task_region) rtcmpu_task_quota"
    app = world.prometheus.value(f"sum({single})")
    assert app > 0
    assert world.prometheus.value(share) == pytest.approx(app / 200)


def test_an_app_is_up_fresh_and_within_its_quota(world: World) -> None:
    """Scrape, apps, quota and the times of the collection are there and make sense."""
    apps = sum(len(account.apps) for account in ACCOUNTS) + 3

    def all_is_well() -> None:
        assert world.prometheus.target()["health"] == "up"
        assert world.prometheus.value("sum(up)") == 1
        assert world.prometheus.value("sum(rtcmpu_up)") == apps
        assert world.prometheus.value('sum(rtcmpu_collection_state{state="ok"})') == apps
        assert world.prometheus.value("sum(rtcmpu_collection_state)") == apps
        assert world.prometheus.value("sum(rtcmpu_collection_data_available)") == apps
        assert world.prometheus.value(OLDEST.format("update")) < 1
        assert world.prometheus.value(OLDEST.format("sweep")) < 1
        quotas = {
            (dict(labels)["app_id"], dict(labels)["mix_mode"]): value
            for (_, labels), value in world.prometheus.query('rtcmpu_task_quota{account="simulated"}').items()
        }
        assert quotas == {("app-1", "single"): 200, ("app-2", "mixed"): 77}

    eventually(all_is_well)


@pytest.mark.usefixtures("published")
def test_histogram_quantile_works_without_rate(world: World) -> None:
    """The quantile of a distribution lies in the bucket in which the true one lies, and buckets count the tasks."""
    rows = ask_json(f"{world.services['production']}/-/tasks?app_id=live-main")
    kbps = sorted(
        int(bitrate)
        for row in rows
        if (bitrate := ((row.get("TranscodeParams") or {}).get("EncodeParams") or {}).get("VideoBitrate"))
    )
    bucket = 'rtcmpu_task_video_bitrate_bytes_per_second_bucket{app_id="live-main"}'

    for (_, labels), value in world.prometheus.query(f"sum by (le) ({bucket})").items():
        bound = float(dict(labels)["le"])
        assert value == sum(125 * one <= bound for one in kbps), bound
    median = world.prometheus.value(f"histogram_quantile(0.5, sum by (le) ({bucket})) * 8 / 1000")
    true_median = kbps[len(kbps) // 2]
    bounds = [0.0, *Buckets().video_bitrate_kbps]
    upper = next(place for place, bound in enumerate(bounds) if true_median <= bound)
    assert bounds[upper - 1] <= median <= bounds[upper]


def test_prometheus_reads_openmetrics(world: World) -> None:
    """Prometheus asks for OpenMetrics and gets it: the text format knows neither gauge histograms nor infos."""

    def types() -> dict[str, str]:
        found = world.prometheus.types()
        assert found
        return found

    found = eventually(types)
    assert {found[name] for name in DISTRIBUTIONS} == {"gaugehistogram"}
    assert found["rtcmpu_app"] == "info"
    assert found["rtcmpu_collection_attempts"] == "counter"
    assert found["rtcmpu_tasks"] == "gauge"


def test_the_text_format_says_the_same(world: World, published: Mapping[Series, float]) -> None:
    """A scraper that knows only the text format gets the same numbers."""
    answer = ask(f"{world.url}/metrics", headers={"Accept": "text/plain;version=0.0.4"})
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name in COMPARED and sample.value
    }
    assert samples == pytest.approx(published)


@pytest.mark.usefixtures("published")
def test_promtool_finds_nothing_to_object_to(world: World) -> None:
    """The live exposition passes `promtool check metrics` without a word."""
    exposition = ask(f"{world.url}/metrics", headers={"Accept": "text/plain;version=0.0.4"}).body
    assert exposition.count(b"\nrtcmpu_tasks{") > 10

    done = subprocess.run(
        [needed_tool("promtool"), "check", "metrics"], input=exposition, capture_output=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_what_is_created_changed_and_deleted_shows(world: World) -> None:
    """One task that is created, changed and deleted shows in Prometheus each time, and nothing else moves."""
    _equal_to_truth(world)
    service, app = world.services["staging"], "sandbox"
    tasks = f'sum(rtcmpu_tasks{{app_id="{app}"}})'
    bitrate = f'sum(rtcmpu_task_video_bitrate_bytes_per_second_gsum{{app_id="{app}"}})'
    others = world.prometheus.value(f'sum(rtcmpu_tasks{{app_id!="{app}"}})')
    body = {
        "AppId": app,
        "TaskId": "one",
        "MixMode": "1",
        "Region": "AP-Singapore",
        "TranscodeParams": {"EncodeParams": {"VideoBitrate": "2000", "VideoCodec": "H.264"}},
    }

    ask_json(f"{service}/-/tasks", method="POST", body=body)
    _equal_to_truth(world)
    assert world.prometheus.value(bitrate) == 2000 * 125

    patch = {"TranscodeParams": {"EncodeParams": {"VideoBitrate": "3000"}}}
    ask_json(f"{service}/-/tasks/{app}/one", method="PATCH", body=patch)
    _equal_to_truth(world)
    assert world.prometheus.value(bitrate) == 3000 * 125

    ask_json(f"{service}/-/tasks/{app}/one", method="DELETE")
    _equal_to_truth(world)
    assert world.prometheus.value(tasks) == 0
    assert world.prometheus.query(bitrate) == {}
    assert world.prometheus.value(f'sum(rtcmpu_tasks{{app_id!="{app}"}})') == others


def test_counts_by_rule_equal_the_truth_of_a_fleet_at_rest(world: World) -> None:
    """For every app and default rule: how many tasks violate it, pass it, and are none of its business."""
    _rules_equal_truth(world)
    truth = _numbers_by_truth(world)
    assert sum(number for (*_, what), number in truth.items() if what == "violations") > 30


def test_at_every_scrape_of_a_fleet_that_changes_the_numbers_fit_together(world: World) -> None:
    """Violations are the baseline's plus opened minus resolved, a rule's four shares are all tasks, nothing fails.

    One sweep after the fleet rests all numbers are true again.
    """
    _rules_equal_truth(world)
    _churn(world, EVENTS_PER_SECOND)
    changes = "sum(rtcmpu_task_changes_total)"
    before = world.prometheus.value(changes)

    def has_changed() -> None:
        assert world.prometheus.value(changes) > before + CHURN_SECONDS * EVENTS_PER_SECOND / 3
        for counter in ("opened", "resolved"):
            assert world.prometheus.value(f"sum(rtcmpu_policy_violations_{counter}_total)") >= 5

    eventually(has_changed)
    opened = world.prometheus.scrapes("rtcmpu_policy_violations_opened_total", 3 * CHURN_SECONDS)
    resolved = world.prometheus.scrapes("rtcmpu_policy_violations_resolved_total", 3 * CHURN_SECONDS)
    violations = world.prometheus.scrapes("rtcmpu_policy_violations", 3 * CHURN_SECONDS)
    shares = [world.prometheus.scrapes(f"rtcmpu_policy_{share}_tasks", 3 * CHURN_SECONDS) for share in SHARES]
    tasks = world.prometheus.scrapes("rtcmpu_tasks", 3 * CHURN_SECONDS)
    _churn(world, 0)

    baselines = defaultdict(set)
    for labels, samples in violations.items():
        for at in samples.keys() & opened[labels].keys() & resolved[labels].keys():
            baselines[labels].add(samples[at] - opened[labels][at] + resolved[labels][at])
    assert len(baselines) > 100
    assert {labels: found for labels, found in baselines.items() if len(found) != 1} == {}
    assert sum(max(samples.values()) for samples in opened.values()) >= 5
    assert sum(max(samples.values()) for samples in resolved.values()) >= 5

    compared = 0
    for labels_of_violations, samples in violations.items():
        labels = frozenset(pair for pair in labels_of_violations if pair[0] != "severity")
        app = {pair for pair in labels if pair[0] in {"account", "app_id"}}
        of_app = [one for labels_of_tasks, one in tasks.items() if app <= labels_of_tasks]
        for at in samples:
            if all(at in one for one in of_app):
                assert sum(share.get(labels, {}).get(at, 0) for share in shares) == sum(one[at] for one in of_app)
                compared += 1
    assert compared > 1000
    _rules_equal_truth(world)
    _equal_to_truth(world)
    assert world.prometheus.value(f"min(min_over_time(rtcmpu_up[{CHURN_SECONDS}s]))") == 1
    assert world.prometheus.value("sum(rtcmpu_exporter_api_throttled_total)") == 0


def _churn(world: World, events_per_second: float) -> None:
    kinds = ("update", "create", "delete")
    for simulator in world.simulators:
        ask_json(f"{simulator}/-/churn", method="POST", body=dict.fromkeys(kinds, events_per_second / len(kinds)))


def _numbers_by_truth(world: World) -> Mapping[tuple[str, str, str], int]:
    """Return what is true, by AppId, rule and what it is a number of."""
    numbers = {}
    fleet = {app_id: app for simulator in world.simulators for app_id, app in listed_fleet(simulator).items()}
    for app_id, rules in true_violations(fleet).items():
        for rule, outcomes in rules.items():
            numbers[app_id, rule, "violations"] = len(outcomes["violations"])
            numbers[app_id, rule, "evaluated_tasks"] = outcomes["evaluated"]
            numbers[app_id, rule, "not_applicable_tasks"] = outcomes["not_applicable"]
    return numbers


def _numbers_by_prometheus(world: World) -> Mapping[tuple[str, str, str], int]:
    """Return what was scraped last, in the same form."""
    numbers = {}
    for what in ("violations", "evaluated_tasks", "not_applicable_tasks"):
        for (_, labels), value in world.prometheus.query(f"rtcmpu_policy_{what}").items():
            known = dict(labels)
            if known["rule"].startswith("expect-"):
                continue
            numbers[known["app_id"], known["rule"], what] = int(value)
    return numbers


def _rules_equal_truth(world: World) -> None:
    """Wait until what Prometheus has equals the truth, with the fleet at rest."""
    truth = _numbers_by_truth(world)

    def compare() -> None:
        published = _numbers_by_prometheus(world)
        # Only violations have a series where there is none.
        absent = {key: None if key[-1] == "violations" else 0 for key in truth.keys() | published.keys()}
        different = {key: (truth.get(key, none), published.get(key, none)) for key, none in absent.items()}
        assert not {key: values for key, values in different.items() if values[0] != values[1]}

    eventually(compare)


def _equal_to_truth(world: World) -> dict[Series, float]:
    """Wait until what Prometheus has equals the truth, with the fleet at rest; return it."""
    truth = _truth(world)

    def compare() -> dict[Series, float]:
        names = "|".join(sorted(COMPARED))
        published = world.prometheus.query(f'{{__name__=~"{names}"}} != 0')
        assert published == pytest.approx(truth), _differences(published, truth)
        return published

    return eventually(compare)


def _truth(world: World) -> dict[Series, float]:
    """Return what the simulators say is true of all tasks."""
    account_of = {app.id: account.name for account in ACCOUNTS for app in account.apps}
    truth: dict[Series, float] = {}
    for simulator in world.simulators:
        for app_id, metrics in true_metrics(listed_fleet(simulator)).items():
            where = {"account": account_of.get(app_id, "simulated"), "app_id": app_id}
            for name, samples in metrics.items():
                for sample in samples:
                    truth[name, frozenset((where | sample["labels"]).items())] = sample["value"]
    return {series: value for series, value in truth.items() if value}


def _differences(published: Mapping[Series, float], truth: Mapping[Series, float]) -> str:
    """Say where the two differ."""
    lines = [
        f"{name} {sorted(labels)}: published {published.get((name, labels))}, true {truth.get((name, labels))}"
        for name, labels in sorted(published.keys() | truth.keys(), key=str)
        if published.get((name, labels)) != truth.get((name, labels))
    ]
    return "\n".join(lines[:20])
