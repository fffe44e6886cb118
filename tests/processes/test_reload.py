"""Reloads of the daemon as a process: nothing that stays is ever without its data, and what changes really changes."""

import re
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
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
        self._ended.set()
        self.join()


def test_fifty_reloads_leave_no_gap(programs: Programs) -> None:
    """Scrapes every 100 ms during 50 reloads find each app's data and each rule's findings, and fail never.

    From reload to reload the budget, the intervals, the apps and the buckets change; a task that is added afterwards is
    found and evaluated.
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
    eventually(_says(url, f"rtcmpu_policy_violations{series}", 'app_id="app-2",task_region="CN-Shanghai"'))
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
    encoding = {"EncodeParams": {"VideoBitrate": "500"}}
    late = {"AppId": "app-1", "TaskId": "late", "MixMode": "1", "TranscodeParams": encoding}
    ask_json(f"{simulator}/-/tasks", method="POST", body=late)
    daemon.wait_for("violation opened.*rule=never-so-low.*task_id=late")

    config.write_text(config.read_text() + "nonsense: 1\nmore: 2\n")
    refused = ask(f"{url}/-/reload", method="POST")
    assert (refused.status, refused.text.count(f"\n{config}:")) == (500, 2)
    _says(url, "rtcmpu_exporter_config_last_reload_successful 0.0", 'rtcmpu_up{account="production",app_id="app-1"}')()


def test_sighup_loads_the_configuration_again(programs: Programs) -> None:
    """A new app appears, a removed one's series go, what stays is never without its own; a bad file changes nothing.

    Over HTTP it would be forbidden.
    """
    _, simulator = programs.start_simulator("--apps=3", "--tasks=20", "--churn=0")
    config = write_configuration(programs.directory, account(simulator, ["app-1", "app-2"]))
    daemon, url = programs.start_daemon(config)
    eventually(_says(url, *_tasks_of("app-1"), *_tasks_of("app-2")))
    sha256 = _sha256(url)
    assert ask(f"{url}/-/reload", method="POST").status == 403

    write_configuration(programs.directory, account(simulator, ["app-1", "app-3"]))
    daemon.send(signal.SIGHUP)

    def replaced() -> None:
        text = _metrics(url)
        assert 'app_id="app-1",task_region=' in text, "an app that stays must not lose its data"
        assert 'app_id="app-3",task_region=' in text
        assert 'app_id="app-2"' not in text

    def kept() -> bool:
        return 'app_id="app-1",task_region=' not in _metrics(url)

    eventually(replaced, unless=kept)
    daemon.wait_for("configuration loaded again")

    def is_announced() -> None:
        assert _sha256(url) != sha256

    eventually(is_announced)
    _says(url, "rtcmpu_exporter_config_last_reload_successful 1.0")()
    assert "app-3" in ask(f"{url}/config").text

    write_configuration(
        programs.directory, account(simulator, more="nonsense: 1\n  requests_per_second: many"), name=config.name
    )
    daemon.send(signal.SIGHUP)
    eventually(_says(url, "rtcmpu_exporter_config_last_reload_successful 0.0"))
    replaced()

    def all_told() -> None:
        refused = [line for line in daemon.err.splitlines() if "configuration refused" in line]
        assert len({line.partition("mistake=")[2] for line in refused}) == 2
        assert all("level=warning" in line and f"{config}:" in line for line in refused)

    eventually(all_told)

    write_configuration(programs.directory, account(simulator, ["app-1"]))
    daemon.send(signal.SIGHUP)
    eventually(_says(url, "rtcmpu_exporter_config_last_reload_successful 1.0"))
    assert 'app_id="app-3"' not in _metrics(url)
    assert "level=error" not in daemon.err


def test_files_of_apps_are_followed_without_a_signal(programs: Programs) -> None:
    """A file of apps that comes, changes or goes takes effect by itself; a broken one is refused and then mended."""
    _, simulator = programs.start_simulator("--apps=3", "--tasks=5", "--churn=0")
    directory = programs.directory / "apps" / "team"
    directory.mkdir(parents=True)
    config = write_configuration(programs.directory, account(simulator, ["app-1"], more="app_files: ['apps/**/*.yml']"))
    _, url = programs.start_daemon(config)
    eventually(_says(url, *_tasks_of("app-1")))

    _replace(directory / "a.yml", "- id: app-2\n")
    eventually(_says(url, *_tasks_of("app-1"), *_tasks_of("app-2")))

    _replace(directory / "a.yml", "- id: app-3\n  owner: live-ops\n")
    eventually(_says(url, *_tasks_of("app-3"), 'owner="live-ops"'))
    assert 'app_id="app-2"' not in _metrics(url)

    _replace(directory / "a.yml", "- no: app\n")
    eventually(_says(url, "rtcmpu_exporter_config_last_reload_successful 0.0"))
    _says(url, *_tasks_of("app-3"))()

    (directory / "a.yml").unlink()
    eventually(_says(url, "rtcmpu_exporter_config_last_reload_successful 1.0"))
    assert 'app_id="app-3"' not in _metrics(url)
    _says(url, *_tasks_of("app-1"))()


def _sha256(url: str) -> str:
    found = re.search(r'^rtcmpu_exporter_config_info\{sha256="(\w+)"\} 1\.0$', _metrics(url), re.MULTILINE)
    assert found
    return found[1]


def _sample(url: str, series: str) -> str:
    text = ask(f"{url}/metrics").text
    found = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(series + " ")]
    assert len(found) == 1, f"{series}: {found}"
    return found[0]


def _metrics(url: str) -> str:
    answer = ask(f"{url}/metrics")
    assert answer.status == 200
    return answer.text


def _says(url: str, *fragments: str) -> Callable[[], None]:
    """Return a check that the metrics contain something."""

    def check() -> None:
        text = _metrics(url)
        for fragment in fragments:
            assert fragment in text

    return check


def _tasks_of(app_id: str) -> tuple[str, str]:
    """Return what the metrics contain about an app that is up and has data."""
    return f'rtcmpu_up{{account="production",app_id="{app_id}"}} 1.0', f'app_id="{app_id}",task_region='


def _replace(path: Path, content: str) -> None:
    """Write a file as careful writers do: whole or not at all."""
    new = path.with_suffix(".new")
    new.write_text(content)
    new.rename(path)
