"""Reloads of the daemon as a process: nothing that stays is ever without its data, and what changes really changes."""

import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.support.configurations import account, write_configuration
from tests.support.http import ask, ask_json
from tests.support.processes import Programs, eventually

pytestmark = pytest.mark.processes

RELOADS = 50
BETWEEN_SCRAPES_SECONDS = 0.1
RULES = """
rules:
  - name: never-so-low
    title: Video bitrate is never so low
    severity: warning
    expect: '!has(task.video.bitrate_kbps) || task.video.bitrate_kbps > 100000'
"""


class Scraper(threading.Thread):
    """Scrapes again and again, and notes every scrape that lacks what always has to be there."""

    def __init__(self, url: str, *expected: str) -> None:
        super().__init__(daemon=True)
        self.scrapes = 0
        self.gaps: list[str] = []
        self._url = url
        self._expected = expected
        self._ended = threading.Event()

    def run(self) -> None:
        """Scrape until the end."""
        while not self._ended.wait(BETWEEN_SCRAPES_SECONDS):
            try:
                with urllib.request.urlopen(f"{self._url}/metrics", timeout=30) as answer:  # noqa: S310 - loopback
                    text = answer.read().decode()
            except (urllib.error.URLError, OSError) as error:
                self.gaps.append(repr(error))
                continue
            self.scrapes += 1
            self.gaps += [f"{self.scrapes}: no {expected}" for expected in self._expected if expected not in text]

    def end(self) -> None:
        """Stop scraping."""
        self._ended.set()
        self.join()


def _sample(url: str, series: str) -> str:
    text = ask(f"{url}/metrics").text
    found = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(series + " ")]
    assert len(found) == 1, f"{series}: {found}"
    return found[0]


def test_fifty_reloads_leave_no_gap(programs: Programs) -> None:
    """Scrapes every 100 ms during 50 reloads find each app's data and each rule's findings, and fail never.

    What changes from reload to reload: the budget, the intervals, the credentials' form, another app that comes and
    goes, other buckets, an owner, a quota, and a rule's exemption.
    """
    _, simulator = programs.start_simulator("--apps=3", "--tasks=250", "--churn=0")
    rules = programs.directory / "rules.yml"
    rules.write_text(RULES)
    config = programs.directory / "config.yml"

    def write(number: int) -> None:
        more = "policy: {rule_files: [rules.yml]}\n"
        more += f"collection: {{interval: {1 + number % 3}s, sweep_interval: {5 + number % 4}s}}\n"
        more += f"metrics: {{buckets: {{panes: [0, {1 + number % 5}, 9]}}}}\n"
        apps = ["app-1", "app-2", "app-3"] if number % 2 else ["app-1", "app-2"]
        account_text = account(simulator, apps, more=f"requests_per_second: {30 + number % 20}")
        write_configuration(programs.directory, account_text, name=config.name, rest=more)

    write(0)
    daemon, url = programs.start_daemon(config, "--web.enable-lifecycle")
    series = '{account="production",app_id="app-1",rule="never-so-low",severity="warning"} '
    eventually(
        lambda: _has(url, f"rtcmpu_policy_violations{series}", 'app_id="app-2",task_region="CN-Shanghai"'),
    )
    violations = _sample(url, f"rtcmpu_policy_violations{series.strip()}")
    since = _sample(url, f"rtcmpu_policy_oldest_violation_timestamp_seconds{series.strip()}")
    scraper = Scraper(
        url,
        'rtcmpu_tasks{account="production",app_id="app-1",task_region="CN-Shanghai",mix_mode="mixed"}',
        'rtcmpu_tasks{account="production",app_id="app-2",task_region="CN-Shanghai",mix_mode="mixed"}',
        f"rtcmpu_policy_violations{series}{violations}",
        'rtcmpu_policy_rule_info{rule="never-so-low"',
        'rtcmpu_up{account="production",app_id="app-1"} 1.0',
        "rtcmpu_exporter_config_last_reload_successful 1.0",
    )
    scraper.start()
    for number in range(1, RELOADS + 1):
        write(number)
        assert ask(f"{url}/-/reload", method="POST").status == 200
    scraper.end()

    assert scraper.scrapes >= RELOADS // 10
    assert scraper.gaps == []
    assert _sample(url, f"rtcmpu_policy_oldest_violation_timestamp_seconds{series.strip()}") == since
    assert _sample(url, f"rtcmpu_policy_violations_opened_total{series.strip()}") == "0.0"
    rate = _sample(url, 'rtcmpu_exporter_rate_limit_requests_per_second{account="production"}')
    assert float(rate) == 30 + RELOADS % 20
    assert _sample(url, 'rtcmpu_collection_interval_seconds{account="production",app_id="app-1"}') == (
        f"{1 + RELOADS % 3}.0"
    )
    assert "level=error" not in daemon.err


def _has(url: str, *expected: str) -> None:
    text = ask(f"{url}/metrics").text
    for each in expected:
        assert each in text


def test_a_reload_over_http_says_what_is_wrong(programs: Programs) -> None:
    """It is forbidden unless it is allowed, answers 500 with every mistake, and 200 once all is mended."""
    _, simulator = programs.start_simulator("--apps=1", "--tasks=5", "--churn=0")
    config = write_configuration(programs.directory, account(simulator, ["app-1"]))
    _, forbidding = programs.start_daemon(config)
    refused = ask(f"{forbidding}/-/reload", method="POST")
    assert refused.status == 403
    assert "--web.enable-lifecycle" in refused.text

    _, url = programs.start_daemon(config, "--web.enable-lifecycle")
    assert ask(f"{url}/-/reload").status == 405
    good = config.read_text()
    config.write_text(good + "nonsense: 1\npolicy: {examples_per_rule: many}\n")
    bad = ask(f"{url}/-/reload", method="POST")
    assert bad.status == 500
    assert "the one before stays" in bad.text
    assert f"{config}:" in bad.text
    assert bad.text.count("expected") >= 2
    _has(url, "rtcmpu_exporter_config_last_reload_successful 0.0", 'rtcmpu_up{account="production",app_id="app-1"}')

    config.write_text(good)
    assert ask(f"{url}/-/reload", method="POST").status == 200
    _has(url, "rtcmpu_exporter_config_last_reload_successful 1.0")


def test_files_that_are_swapped_as_kubernetes_does_are_taken_on(programs: Programs) -> None:
    """A mounted directory whose link is switched brings another configuration in without a signal."""
    _, simulator = programs.start_simulator("--apps=2", "--tasks=5", "--churn=0")
    mounted = programs.directory / "mounted"
    for version, apps in (("v1", ["app-1"]), ("v2", ["app-1", "app-2"])):
        directory = mounted / f"..{version}"
        directory.mkdir(parents=True)
        write_configuration(directory, account(simulator, apps), name="config.yml")
    (mounted / "..data").symlink_to("..v1")
    (mounted / "config.yml").symlink_to("..data/config.yml")
    _, url = programs.start_daemon(mounted / "config.yml")
    eventually(lambda: _has(url, 'rtcmpu_up{account="production",app_id="app-1"} 1.0'))

    (mounted / "..new").symlink_to("..v2")
    (mounted / "..new").rename(mounted / "..data")

    eventually(lambda: _has(url, 'rtcmpu_up{account="production",app_id="app-2"} 1.0'))


def test_tasks_changed_by_the_service_are_found_after_reloads(programs: Programs, tmp_path: Path) -> None:
    """Reloading stops nothing: a task that appears afterwards is found and evaluated."""
    _, simulator = programs.start_simulator("--apps=1", "--tasks=5", "--churn=0")
    (tmp_path / "rules.yml").write_text(RULES)
    config = write_configuration(programs.directory, account(simulator, ["app-1"]))
    config.write_text(config.read_text() + f"policy: {{rule_files: ['{tmp_path / 'rules.yml'}']}}\n")
    daemon, url = programs.start_daemon(config, "--web.enable-lifecycle")
    eventually(lambda: _has(url, 'rtcmpu_up{account="production",app_id="app-1"} 1.0'))
    for _ in range(3):
        assert ask(f"{url}/-/reload", method="POST").status == 200
    ask_json(
        f"{simulator}/-/tasks",
        method="POST",
        body={
            "AppId": "app-1",
            "TaskId": "late",
            "MixMode": "1",
            "StreamURL": "rtmp://push.example.com/live/late",
            "TranscodeParams": {"EncodeParams": {"VideoBitrate": "500"}},
        },
    )
    daemon.wait_for("violation opened.*rule=never-so-low.*task_id=late")
