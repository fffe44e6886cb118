"""The daemon as a process: signals, reloads, files that change."""

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.configurations import account, write_configuration
from tests.support.http import ask
from tests.support.processes import Programs, eventually

pytestmark = pytest.mark.processes

STOPS_WITHIN_SECONDS = 9.0  # less than a request may take


def test_sigterm_ends_it_well_and_quietly(programs: Programs) -> None:
    """SIGTERM while requests are under way: exit code 0 in time, and no word of anything that failed."""
    _, simulator = programs.start_simulator("--apps=3", "--tasks=5", "--churn=0", "--fault=slow")
    daemon, url = programs.start_daemon(
        write_configuration(programs.directory, account(simulator, ["app-1", "app-2", "app-3"]))
    )
    eventually(_says(url, *(f'rtcmpu_up{{account="production",app_id="app-{n}"}} 1.0' for n in (1, 2, 3))))

    daemon.send(signal.SIGTERM)
    ended = daemon.ended(within_seconds=STOPS_WITHIN_SECONDS)

    assert (ended.code, ended.out) == (0, "")
    assert "msg=stopping" in ended.err
    assert not [line for line in ended.err.splitlines() if not re.match(r"ts=\S+ level=(debug|info) ", line)]


def test_sigterm_does_not_wait_for_a_service_that_hangs(programs: Programs) -> None:
    """While no app has been read it is healthy and not ready; SIGTERM ends it in time though requests are under way."""
    _, simulator = programs.start_simulator("--apps=2", "--fault=hang")
    daemon, url = programs.start_daemon(write_configuration(programs.directory, account(simulator, ["app-1", "app-2"])))

    assert ask(f"{url}/-/healthy").status == 200
    ready = ask(f"{url}/-/ready")
    assert (ready.status, ready.text) == (503, "2 of 2 apps wait for their first sweep\n")
    assert 'rtcmpu_collection_state{account="production",app_id="app-1",state="pending"} 1.0' in _metrics(url)

    daemon.send(signal.SIGTERM)
    assert daemon.ended(within_seconds=STOPS_WITHIN_SECONDS).code == 0


def test_sighup_loads_the_configuration_again(programs: Programs) -> None:
    """A new app appears, a removed one's series go, what stays is never without its own; a bad file changes nothing."""
    _, simulator = programs.start_simulator("--apps=3", "--tasks=20", "--churn=0")
    config = write_configuration(programs.directory, account(simulator, ["app-1", "app-2"]))
    daemon, url = programs.start_daemon(config)
    eventually(_says(url, *_tasks_of("app-1"), *_tasks_of("app-2")))
    sha256 = _sample(url, r"rtcmpu_exporter_config_info\{sha256=\"(\w+)\"\} 1.0")

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
        assert _sample(url, r"rtcmpu_exporter_config_info\{sha256=\"(\w+)\"\} 1.0") != sha256

    eventually(is_announced)
    _says(url, "rtcmpu_exporter_config_last_reload_successful 1.0")()

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


def _sample(url: str, pattern: str) -> str:
    found = re.search(pattern, _metrics(url))
    assert found
    return found[1]


def _replace(path: Path, content: str) -> None:
    """Write a file as careful writers do: whole or not at all."""
    new = path.with_suffix(".new")
    new.write_text(content)
    new.rename(path)
