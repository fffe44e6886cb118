"""Tests of the forecast that `check-config` shows."""

import re
from pathlib import Path

import pytest

from exporter.commands.check_config import check_config
from exporter.config.capacity import forecast
from exporter.config.mistakes import ConfigError
from exporter.config.model import Account, App, Collection, Config, Quota, Sharing
from exporter.config.policy_model import Expect, Policy
from exporter.rules.rule_loader import ConfigurationSource


def _shown(config: Config, capsys: pytest.CaptureFixture[str]) -> list[str]:
    assert check_config(ConfigurationSource.of_config(config), Path("rtcmpu.yml"), probe=False) == 0
    return capsys.readouterr().out.splitlines()


def test_each_budget_is_forecast_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Accounts that share a limiter are one block under both their names; the others have their own."""
    accounts = (
        Account(name="one", apps=(App(id="a"),), limit_group="shared"),
        Account(name="two", apps=(App(id="b"), App(id="c")), limit_group="shared"),
        Account(name="other", endpoint="https://other.example.com", apps=(App(id="d"),)),
    )
    lines = _shown(Config(accounts=accounts), capsys)
    assert lines[0].startswith("rtcmpu.yml: fine, 3 accounts, 4 apps, ")
    assert [line for line in lines[2:] if line and not line.startswith("  ")] == ["one, two", "other"]
    assert "  at the quota    3 apps, 720 tasks on 9 pages" in lines
    assert lines[lines.index("other") + 1 :] == [
        "  at the quota    1 app, 240 tasks on 3 pages",
        "  requests        0.1/s for updates, 0.0167/s for sweeps: 0.3% of 40/s",
        "  interval        10s",
        "  sweep interval  5m; a sweep of all takes about 0.1s",
        "  stale after     15m",
    ]


def test_series_are_forecast(capsys: pytest.CaptureFixture[str]) -> None:
    """An app with all default rules has some 700 series, and fewer without them; the scrape job's limit follows."""
    accounts = (Account(name="one", apps=(App(id="a"), App(id="b"))),)
    for policy, least, most in ((Policy(), 1200, 1600), (Policy(default_rules=False), 500, 900)):
        line = _shown(Config(accounts=accounts, policy=policy), capsys)[1]
        found = re.fullmatch(
            r"/metrics has about ([0-9,]+) series: set the scrape job's sample_limit to ([0-9,]+) or more", line
        )
        assert found
        series, limit = (int(number.replace(",", "")) for number in found.groups())
        assert least < series < most
        assert limit == 2 * series


def test_a_budget_that_is_too_small_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """The block ends with how far the intervals are stretched and with what helps."""
    account = Account(name="one", requests_per_second=1, apps=(App(id="a", quota=Quota(single=10_000, mixed=None)),))
    config = Config(accounts=(account,), collection=Collection(interval_seconds=1, sweep_interval_seconds=10))
    (expected,) = forecast(config)
    lines = _shown(config, capsys)
    (last,) = [line for line in lines if "stretched" in line]
    times = f"{expected.pace.stretch_ratio:.3g}"
    assert float(times) > 10
    assert last == (
        f"  too little      the intervals are stretched {times} times: raise requests_per_second or the intervals"
    )


def test_rules_that_are_on_are_counted_once_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """What two apps expect of their regions is one rule; without the default rules it is the only one."""
    expecting = tuple(App(id=name, expect=Expect(region=("CN-Shanghai",))) for name in ("a", "b"))
    config = Config(accounts=(Account(name="one", apps=expecting),), policy=Policy(default_rules=False))
    assert _shown(config, capsys)[0] == "rtcmpu.yml: fine, 1 account, 2 apps, 1 rule on"


@pytest.mark.parametrize(("app_id", "mistakes"), [("a", ["web.yml:1:1"]), ("a b", ["rtcmpu.yml:3:15", "web.yml:1:1"])])
def test_a_web_configuration_is_checked_as_well(
    app_id: str, mistakes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mistakes of both files are reported together; a right one changes nothing."""
    monkeypatch.chdir(tmp_path)
    Path("web.yml").write_text("tls: {}\n")
    Path("rtcmpu.yml").write_text(f"accounts:\n- name: one\n  apps: [{{id: {app_id}}}]\n")
    source = ConfigurationSource.of_file(Path("rtcmpu.yml"), {})
    with pytest.raises(ConfigError) as refused:
        check_config(source, Path("rtcmpu.yml"), probe=False, web_config_file=Path("web.yml"))
    assert [line.split(": ")[0] for line in str(refused.value).splitlines()] == mistakes
    Path("web.yml").write_text("basic_auth_users: {}\n")
    fine = ConfigurationSource.of_config(Config(accounts=(Account(name="one", apps=(App(id="a"),)),)))
    assert check_config(fine, Path("rtcmpu.yml"), probe=False, web_config_file=Path("web.yml")) == 0


def test_a_probe_without_apps_has_read_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A script must not take it for apps that can all be read; without a probe the configuration is fine."""
    source = ConfigurationSource.of_config(Config(accounts=(Account(name="one"),)))
    assert check_config(source, Path("rtcmpu.yml"), probe=True) == 3
    assert capsys.readouterr().err == "nothing to read: the configuration names no app\n"
    assert check_config(source, Path("rtcmpu.yml"), probe=False) == 0


def test_patterns_without_files_are_warnings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The configuration is fine all the same; each pattern is named with its place."""
    file = tmp_path / "rtcmpu.yml"
    file.write_text(
        "accounts: [{name: one, apps: [{id: a}], app_files: [apps/*.yml]}]\npolicy: {rule_files: [rules-*.yml]}\n"
    )
    assert check_config(ConfigurationSource.of_file(file, {}), file, probe=False) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("'")[0] for line in lines] == [
        f"{file}:1:53: warning: no file matches ",
        f"{file}:2:23: warning: no file matches ",
    ]


def test_what_all_exporters_send_together_is_added_up(capsys: pytest.CaptureFixture[str]) -> None:
    """With `sharing` each budget shows what its holder and all others at the fallback rate may send."""
    account = Account(name="one", requests_per_second=45, apps=(App(id="a"),))
    sharing = Sharing(exporters=3, fallback_requests_per_second=2)
    line = "  all exporters   45 + 2 x 2 = 49/s of 50/s"
    assert line in _shown(Config(accounts=(account,), sharing=sharing), capsys)
    assert line not in _shown(Config(accounts=(account,)), capsys)
