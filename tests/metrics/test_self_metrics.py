"""The exporter's own metrics."""

import platform
import threading
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import pytest
from prometheus_client import Counter, Metric, ProcessCollector
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporter import revision
from exporter.core.collection_state import State
from exporter.metrics.self_metrics import (
    CONFIG_LAST_RELOAD_SUCCESSFUL,
    EVENT_LOOP_LAG,
    EXPORTER_FAMILIES,
    HTTP_REQUESTS,
    RULE_FAMILIES,
    SERIES_OMITTED,
    WEB_CONFIG_LAST_RELOAD_SUCCESSFUL,
    SelfMetrics,
)
from exporter.rules.rule import Exemption, Rule, Severity


def _metrics() -> SelfMetrics:
    """Return fresh ones."""
    return SelfMetrics(version="1.2.3")


def _series(metrics: SelfMetrics) -> dict[str, str]:
    """Return value by series, as the text format shows them."""
    lines = metrics.render()[False].decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def test_every_declared_family_is_announced_in_the_documented_order() -> None:
    """HELP and TYPE are there from the start, before anything happened."""
    lines = _metrics().render()[False].decode().splitlines()
    assert [line for line in lines if line.startswith(("# HELP rtcmpu_", "# TYPE rtcmpu_"))] == [
        line
        for each in (*RULE_FAMILIES, *EXPORTER_FAMILIES)
        for line in (
            f"# HELP {each.name} {each.documentation}",
            f"# TYPE {each.name} {'gauge' if each.kind == 'info' else each.kind}",
        )
    ]


def test_build_info(tmp_path: Path) -> None:
    """It names the exporter's version, the commit of a release build, and Python's version."""
    labels = f'version="1.2.3",revision="unknown",python_version="{platform.python_version()}"'
    assert _series(_metrics())[f"rtcmpu_exporter_build_info{{{labels}}}"] == "1.0"
    (tmp_path / "revision.txt").write_text("0123abc\n")
    assert revision(tmp_path) == "0123abc"


def test_process_and_python_metrics_are_there() -> None:
    """They come from the official client, under its names."""
    names = {series.partition("{")[0] for series in _series(_metrics())}
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "python_info"} <= names
    assert "python_gc_collections_total" in names


def test_an_account_begins_at_zero() -> None:
    """Every outcome, reason and priority has its series before the first request."""
    metrics = _metrics()
    metrics.add_account("prod")
    about = {series: value for series, value in _series(metrics).items() if 'account="prod"' in series}
    assert set(about.values()) == {"0.0"}
    requests = {series for series in about if series.startswith("rtcmpu_exporter_api_requests_total")}
    outcomes = set(State) - {State.PENDING}
    assert requests == {
        f'rtcmpu_exporter_api_requests_total{{account="prod",outcome="{outcome}"}}' for outcome in outcomes
    }
    for priority in ("update", "lookup", "sweep"):
        assert f'rtcmpu_exporter_rate_limit_wait_seconds_count{{account="prod",priority="{priority}"}}' in about


def test_what_happens_is_counted_and_timed() -> None:
    """Each attempt of a request counts once, in every bucket from its time on; the lag is the last one."""
    metrics = _metrics()
    account = metrics.add_account("prod")
    account.request_finished(State.OK, 0.25)
    account.request_finished(State.TIMEOUT, 100.0)
    account.retried(State.SERVER_ERROR)
    account.throttled()
    account.waited("sweep", 1.5)
    account.rate(20.0)
    metrics.count(HTTP_REQUESTS, "/apps/{account}/{app_id}", 404)
    metrics.count(HTTP_REQUESTS, "/apps/{account}/{app_id}", 404)
    metrics.set(EVENT_LOOP_LAG, 0.002)
    metrics.rendered("/metrics", seconds=0.5, series=7)
    found = {name.removeprefix("rtcmpu_exporter_"): value for name, value in _series(metrics).items()}
    expected = {
        'api_requests_total{account="prod",outcome="ok"}': "1.0",
        'api_requests_total{account="prod",outcome="timeout"}': "1.0",
        'api_request_duration_seconds_bucket{account="prod",le="0.1"}': "0.0",
        'api_request_duration_seconds_bucket{account="prod",le="0.25"}': "1.0",
        'api_request_duration_seconds_bucket{account="prod",le="+Inf"}': "2.0",
        'api_request_duration_seconds_count{account="prod"}': "2.0",
        'api_request_duration_seconds_sum{account="prod"}': "100.25",
        'api_retries_total{account="prod",reason="server_error"}': "1.0",
        'api_throttled_total{account="prod"}': "1.0",
        'rate_limit_wait_seconds_sum{account="prod",priority="sweep"}': "1.5",
        'rate_limit_wait_seconds_count{account="prod",priority="update"}': "0.0",
        'rate_limit_requests_per_second{account="prod"}': "20.0",
        'http_requests_total{path="/apps/{account}/{app_id}",code="404"}': "2.0",
        "event_loop_lag_seconds": "0.002",
        'render_duration_seconds{path="/metrics"}': "0.5",
        'series{path="/metrics"}': "7.0",
    }
    assert {name: found[name] for name in expected} == expected


def test_skew_and_credentials_are_absent_until_they_are_known() -> None:
    """Unknown is absent, never 0; a permanent key has no expiry, and while no key is known nothing is said of it."""
    metrics = _metrics()
    account = metrics.add_account("prod")

    def shown() -> dict[str, str]:
        found = {name: value for name, value in _series(metrics).items() if "skew" in name or "credentials" in name}
        return {name.removeprefix("rtcmpu_exporter_"): value for name, value in found.items()}

    assert shown() == {}
    account.clock_skew(-3.5)
    account.credentials_in_use("oidc_role_arn", 2000.0)
    skew = {'clock_skew_seconds{account="prod"}': "-3.5"}
    assert shown() == skew | {
        'credentials_info{account="prod",source="oidc_role_arn"}': "1.0",
        'credentials_expiry_timestamp_seconds{account="prod"}': "2000.0",
    }
    account.credentials_in_use("access_key", None)
    assert shown() == skew | {'credentials_info{account="prod",source="access_key"}': "1.0"}
    account.credentials_unknown()
    assert shown() == skew


def test_a_removed_account_leaves_nothing_behind() -> None:
    """Its series and its apps' end, and a late answer does not bring them back; others stay."""
    metrics = _metrics()
    gone, stays = metrics.add_account("gone"), metrics.add_account("stays")
    metrics.add_app("gone", "live")
    metrics.remove_account("gone")
    gone.request_finished(State.OK, 0.1)
    gone.waited("update", 0.1)
    gone.clock_skew(1.0)
    gone.rate(40.0)
    metrics.sweep_skipped("gone", "live", "budget")
    stays.request_finished(State.OK, 0.1)
    series = _series(metrics)
    assert not [name for name in series if "gone" in name]
    assert series['rtcmpu_exporter_api_requests_total{account="stays",outcome="ok"}'] == "1.0"


def test_an_account_that_is_added_again_goes_on_counting() -> None:
    """A reload that leaves an account as it is does not reset its counters."""
    metrics = _metrics()
    metrics.add_account("prod").throttled()
    metrics.add_account("prod").throttled()
    assert _series(metrics)['rtcmpu_exporter_api_throttled_total{account="prod"}'] == "2.0"


def test_skipped_sweeps_by_app() -> None:
    """Each app has every reason from the start, and takes them with it."""
    metrics = _metrics()
    metrics.add_account("prod")
    metrics.add_app("prod", "one")
    metrics.add_app("prod", "two")
    metrics.sweep_skipped("prod", "two", "backoff")
    metrics.remove_app("prod", "one")
    skipped = {name: value for name, value in _series(metrics).items() if "sweeps_skipped" in name}
    series = 'rtcmpu_exporter_sweeps_skipped_total{account="prod",app_id="two",reason='
    assert skipped == {f'{series}"still_running"}}': "0.0", f'{series}"budget"}}': "0.0", f'{series}"backoff"}}': "1.0"}


def test_reloads() -> None:
    """A refused configuration leaves the digest and time of the one in force."""
    metrics = _metrics()
    metrics.config_loaded("aaa", 1000.0)
    metrics.config_loaded("bbb", 2000.0, unmatched_patterns=2)
    metrics.set(CONFIG_LAST_RELOAD_SUCCESSFUL, 0)
    assert not [name for name in _series(metrics) if "_web_config_" in name]
    metrics.set(WEB_CONFIG_LAST_RELOAD_SUCCESSFUL, True)
    metrics.set(WEB_CONFIG_LAST_RELOAD_SUCCESSFUL, False)
    config = {name: value for name, value in _series(metrics).items() if "_config_" in name}
    assert config == {
        'rtcmpu_exporter_config_info{sha256="bbb"}': "1.0",
        "rtcmpu_exporter_config_last_reload_successful": "0.0",
        "rtcmpu_exporter_config_last_reload_success_timestamp_seconds": "2000.0",
        "rtcmpu_exporter_config_unmatched_patterns": "2.0",
        "rtcmpu_exporter_web_config_last_reload_successful": "0.0",
    }


def _rule(name: str, *exemptions: Exemption) -> Rule:
    """Return a rule with some exemptions."""
    return Rule(
        name=name,
        title=f"All about {name}",
        severity=Severity.WARNING,
        expect="true",
        owner="live-ops",
        runbook_url="https://runbooks.example.com/a",
        exempt=exemptions,
    )


def test_rules_in_force() -> None:
    """Each rule has one series with what people want to read, and each exemption that ends the second of its end.

    A reload leaves nothing of rules and exemptions that are gone.
    """
    metrics = _metrics()
    ends = Exemption(name="load-test", tasks=("t-*",), until=date(2027, 1, 31))
    for_good = Exemption(name="legacy", tasks=("old",))
    metrics.rules_loaded([_rule("gone", ends)])
    metrics.rules_loaded([_rule("one", ends, for_good), _rule("two")])
    about = {name: value for name, value in _series(metrics).items() if "_policy_" in name}
    rest = 'rule_owner="live-ops",runbook_url="https://runbooks.example.com/a"'
    assert about == {
        f'rtcmpu_policy_rule_info{{rule="one",severity="warning",title="All about one",{rest}}}': "1.0",
        f'rtcmpu_policy_rule_info{{rule="two",severity="warning",title="All about two",{rest}}}': "1.0",
        'rtcmpu_policy_exemption_expiry_timestamp_seconds{rule="one",exemption="load-test"}': "1.80144e+09",
    }


def test_log_messages_are_counted_from_any_thread() -> None:
    """Not one is lost when several threads log at once."""
    metrics = _metrics()

    def log() -> None:
        for _ in range(2000):
            metrics.message_logged("warning")

    threads = [threading.Thread(target=log) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _series(metrics)['rtcmpu_exporter_log_messages_total{level="warning"}'] == "8000.0"
    assert _series(metrics)['rtcmpu_exporter_log_messages_total{level="error"}'] == "0.0"


def test_what_is_counted_while_a_family_is_read_is_in_the_next_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    """A family that changes after its values were taken is read again."""
    metrics = _metrics()
    honest = Counter.collect

    def collect(counter: Counter) -> Iterable[Metric]:
        found = list(honest(counter))
        if found[0].name == "rtcmpu_exporter_log_messages":
            metrics.message_logged("warning")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Counter, "collect", collect)
        metrics.render()
    assert _series(metrics)['rtcmpu_exporter_log_messages_total{level="warning"}'] == "1.0"


def test_changes_do_not_wait_for_a_rendering(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event loop goes on while a thread renders, however long one of the collectors takes."""
    metrics = _metrics()
    account = metrics.add_account("prod")
    began, may_end, changed = threading.Event(), threading.Event(), threading.Event()

    def collect(_: ProcessCollector) -> list[Metric]:
        began.set()
        may_end.wait(60)
        return []

    def change() -> None:
        metrics.storage(None)
        metrics.lease("prod", is_held=True, takeovers=1, unheld_seconds=0.0)
        metrics.config_loaded("aaa", 1000.0)
        metrics.rules_loaded([_rule("one")])
        account.credentials_in_use("access_key", None)
        account.credentials_unknown()
        metrics.no_leases()
        metrics.remove_account("prod")
        changed.set()

    monkeypatch.setattr(ProcessCollector, "collect", collect)
    rendering, changing = (threading.Thread(target=target, daemon=True) for target in (metrics.render, change))
    rendering.start()
    try:
        assert began.wait(10)
        changing.start()
        assert changed.wait(10)
    finally:
        may_end.set()
        rendering.join(10)


def test_what_changes_together_is_rendered_together() -> None:
    """No rendering finds a digest without its time, or half of what an account's credentials say."""
    metrics = _metrics()
    done = threading.Event()

    def change() -> None:
        for turn in range(1000):
            account = metrics.add_account("prod")
            account.credentials_in_use("access_key", float(turn))
            metrics.config_loaded(str(turn), float(turn))
            account.credentials_in_use("profile", None)
            metrics.remove_account("prod")
        done.set()

    metrics.config_loaded("0", 0.0)
    threading.Thread(target=change, daemon=True).start()
    while not done.is_set():
        series = _series(metrics)
        digests = [name for name in series if name.startswith("rtcmpu_exporter_config_info")]
        seconds = float(series["rtcmpu_exporter_config_last_reload_success_timestamp_seconds"])
        assert digests == [f'rtcmpu_exporter_config_info{{sha256="{seconds:.0f}"}}']
        has_expiry = 'rtcmpu_exporter_credentials_expiry_timestamp_seconds{account="prod"}' in series
        assert has_expiry == ('rtcmpu_exporter_credentials_info{account="prod",source="access_key"}' in series)


def test_a_closed_path_leaves_nothing_behind() -> None:
    """What is said about the series of a path ends with it; the other path stays."""
    metrics = _metrics()
    for path in ("/metrics", "/metrics/tasks"):
        metrics.rendered(path, seconds=0.5, series=7)
    metrics.set(SERIES_OMITTED, 3, "/metrics/tasks")
    text = metrics.render()[False].decode()
    assert 'rtcmpu_exporter_series{path="/metrics/tasks"} 7.0\n' in text
    assert 'rtcmpu_exporter_series_omitted{path="/metrics/tasks"} 3.0\n' in text
    metrics.path_closed("/metrics/tasks")
    text = metrics.render()[False].decode()
    assert 'rtcmpu_exporter_series{path="/metrics"} 7.0\n' in text
    assert 'rtcmpu_exporter_render_duration_seconds{path="/metrics"} 0.5\n' in text
    assert "/metrics/tasks" not in text


def test_both_formats_say_the_same() -> None:
    """The official parsers read the same samples from both, none of them a `_created` one."""
    metrics = _metrics()
    metrics.add_account("prod").request_finished(State.OK, 0.1)
    in_text = parse_text(metrics.render()[False].decode())
    in_openmetrics = parse_openmetrics(metrics.render()[True].decode() + "# EOF\n")  # type: ignore[no-untyped-call]
    kept = ("rtcmpu_", "python_info")
    one, other = (
        {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
            if sample.name.startswith(kept)
        }
        for families in (in_text, in_openmetrics)
    )
    assert one == other
    assert len(one) > 50
    assert not [name for name, *_ in one if name.endswith("_created")]
