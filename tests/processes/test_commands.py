"""`demo`, `collect` and `check-config` as a user runs them, terminal included."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median

import pytest

from exporter import __version__
from exporter.config.capacity import series_of_app
from exporter.config.model import Buckets
from exporter.storage.database import Database
from tests.oracle.rule_truth import listed_fleet, true_metrics
from tests.support.configurations import QUICK, account, write_configuration
from tests.support.forked import Forked
from tests.support.generated import sampled
from tests.support.http import ask, ask_json
from tests.support.processes import LONG_SECONDS, ROOT, Programs, eventually, exporter

pytestmark = pytest.mark.processes

HOSTILE = "\x1b]0;owned\x07\x1b[31mred\r\n\u202egnp.exe"

MOST_SERIES_OF_THE_MEDIAN_APP = 720
ZERO_FILLED = {
    *("up", "collection_data_available", "collection_state", "exporter_sweeps_skipped_total"),
    *(f"collection_{name}" for name in ("attempts_total", "repairs_total", "duplicates_seen_total")),
    *(f"collection_{name}" for name in ("repaired_tasks", "duplicate_rows", "unmoved_changes", "doubtful_tasks")),
    *("task_field_errors", "task_unknown_values", "task_changes_total", "task_field_changes_total"),
    *("tasks", "tasks_by_billing_tier", "tasks_without_idle_timeout"),
    *(f"policy_violations{name}" for name in ("", "_opened_total", "_resolved_total")),
    *("task_video_bitrate_bytes_per_second", "task_audio_bitrate_bytes_per_second", "task_video_framerate_hertz"),
    *("task_gop_duration_seconds", "task_frame_pixels", "task_idle_timeout_seconds", "task_panes", "task_users"),
}
"""Families of an app that the contract shows with 0; all others are absent instead."""


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a service with four apps, each of several pages; one task of the last is hostile."""
    with Programs(tmp_path_factory.mktemp("simulator")) as programs:
        _, url = programs.start_simulator("--apps=4", "--tasks=120", "--churn=0")
        hostile = {"AppId": "app-4", "TaskId": "hostile", "ChannelId": HOSTILE, "MixMode": HOSTILE, "Region": HOSTILE}
        ask_json(f"{url}/-/tasks", method="POST", body=hostile)
        yield url


def test_demo_is_full_within_seconds_and_ends_with_ctrl_c(programs: Programs) -> None:
    """`demo` prints where to look, has all apps within seconds, as large as forecast; Ctrl-C ends both servers well."""
    demo = programs.start_exporter("demo", "--web.listen-address=127.0.0.1:0", "--simulator.listen-address=127.0.0.1:0")
    url = demo.wait_for(r"^metrics +(http://127\.0\.0\.1:\d+)/metrics$")[1]
    simulator = demo.wait_for(r"^simulator +(http://127\.0\.0\.1:\d+) ")[1]
    assert f"status page  {url}/\n" in demo.out

    fleet = listed_fleet(simulator)

    def full() -> None:
        up = re.findall(
            r'^rtcmpu_up\{account="\w+",app_id="([\w-]+)"\} 1\.0$', ask(f"{url}/metrics").text, re.MULTILINE
        )
        assert sorted(up) == sorted(fleet)
        assert "6 of 6 apps up" in ask(f"{url}/").text

    eventually(full)
    assert len(fleet["live-main"].rows) > 1000

    limit = re.search(r"sample_limit: (\d+)", (ROOT / "deploy" / "prometheus" / "scrape.yml").read_text())
    assert limit is not None

    def as_forecast() -> None:
        text = ask(f"{url}/metrics").text
        series = Counter(re.findall(r'^rtcmpu_.*app_id="([\w-]+)"', text, re.MULTILINE))
        forecast = series_of_app(rules=text.count("\nrtcmpu_policy_rule_info{"), buckets=Buckets())
        assert 0.75 * forecast < mean(series.values()) < forecast
        assert 400 * max(series.values()) < int(limit[1])
        assert median(series.values()) < MOST_SERIES_OF_THE_MEDIAN_APP
        zeros = re.findall(r"^rtcmpu_(\w+?)(?:_bucket|_gcount|_gsum)?\{.*app_id=.*\} 0(?:\.0)?$", text, re.MULTILINE)
        assert set(zeros) <= ZERO_FILLED

    eventually(as_forecast, within_seconds=LONG_SECONDS)

    demo.send(signal.SIGINT)
    assert demo.ended(within_seconds=20).code == 0
    for address in (url, simulator):
        with pytest.raises(OSError, match="refused"):
            ask(address)


def test_collect_prints_a_table_without_a_bar(programs: Programs, simulator: str) -> None:
    """Where the output is no terminal there is a plain table and nothing else."""
    apps = [f"app-{number}, quota: {{single: 200, mixed: 40}}" for number in (1, 2, 3)]
    config = write_configuration(programs.directory, account(simulator, apps))

    done = programs.run_exporter("collect", f"--config.file={config}")

    assert (done.code, done.err) == (0, "")
    assert "\x1b" not in done.out
    truth = true_metrics(listed_fleet(simulator))
    for app_id in ("app-1", "app-2", "app-3"):
        modes = {"single": 0, "mixed": 0}
        for sample in truth[app_id]["rtcmpu_tasks"]:
            modes[sample["labels"]["mix_mode"]] += sample["value"]
        row = rf"production +{app_id} +ok +{modes['single']} of 200 +{modes['mixed']} of 40 +0 +\d+\.\d"
        assert re.search(row, done.out), done.out


def test_the_directory_of_other_programs_metrics_is_not_used(programs: Programs, simulator: str) -> None:
    """What makes prometheus_client share values between the processes of a web server means nothing here."""
    names = ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir")  # either is enough
    there, config = programs.directory / "there", write_configuration(programs.directory, account(simulator, ["app-1"]))
    there.mkdir()
    for directory in (there, programs.directory / "missing"):
        done = programs.run_exporter("collect", f"--config.file={config}", env=dict.fromkeys(names, str(directory)))
        assert (done.code, done.err) == (0, "")
    assert not list(there.iterdir())


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_do_no_harm(programs: Programs, simulator: str, closed: str) -> None:
    """A command that is started without some of its streams reads all the same, and ends with its own exit code."""
    config = write_configuration(programs.directory, account(simulator, ["app-1"]))
    words = [str(word) for word in exporter("collect", f"--config.file={config}")]

    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *words],
        capture_output=True,
        check=False,
        env=programs.env,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (0, b"")


def test_collect_shows_the_other_apps_when_one_fails(programs: Programs, simulator: str) -> None:
    """One app of three that can't be read costs the exit code and a line on stderr, in each form, not the others."""
    config = write_configuration(programs.directory, account(simulator, ["app-1", "nobodys", "app-3"]))

    table, document, exposition = (
        programs.run_exporter("collect", f"--config.file={config}", f"--output={output}")
        for output in ("table", "json", "prometheus")
    )

    for done in (table, document, exposition):
        assert done.code == 3
        assert re.fullmatch(r"production/nobodys: app_invalid: .+\n", done.err)
    for row in (r"app-1 +ok", r"nobodys +app_invalid +- +- +-", r"app-3 +ok"):
        assert re.search(row, table.out)
    apps = {app["app_id"]: app for app in json.loads(document.out)["apps"]}
    states = {app_id: app["state"] for app_id, app in apps.items()}
    assert states == {"app-1": "ok", "nobodys": "app_invalid", "app-3": "ok"}
    assert apps["nobodys"]["tasks"] is None
    assert len(apps["app-1"]["tasks"]) == len(apps["app-3"]["tasks"]) == 120
    counts = re.findall(r"^rtcmpu_tasks\{.*\} ([\d.]+)$", exposition.out, re.MULTILINE)
    assert sum(map(float, counts)) == 240


def test_collect_json_holds_every_task(programs: Programs, simulator: str) -> None:
    """The JSON has every row of the service with its numbers, and hostile text can't reach the terminal."""
    config = write_configuration(programs.directory, account(simulator, ["app-4"]))

    done = programs.run_exporter("collect", f"--config.file={config}", "--output=json")

    assert (done.code, done.err) == (0, "")
    assert not any(ord(character) < 32 and character != "\n" for character in done.out)
    document = json.loads(done.out)
    (app,) = document["apps"]
    assert document["version"] == __version__
    assert time.time() - LONG_SECONDS < app["last_sweep_timestamp_seconds"] < document["collected_timestamp_seconds"]
    tasks = {task["task_id"]: task for task in app["tasks"]}
    rows = {row["TaskId"]: row for row in ask_json(f"{simulator}/-/tasks?app_id=app-4")}
    assert tasks.keys() == rows.keys()
    assert tasks["hostile"]["channel_id"] == HOSTILE
    for task_id, row in rows.items():
        encoding = (row.get("TranscodeParams") or {}).get("EncodeParams") or {}
        video = (tasks[task_id]["encoding"] or {"video": {}})["video"]
        assert tasks[task_id]["channel_id"] == row["ChannelId"]
        assert int(video.get("bitrate_kbps") or 0) == int(encoding.get("VideoBitrate", 0))
        assert tasks[task_id]["idle_timeout_seconds"] == (int(row["MaxIdleTime"]) if "MaxIdleTime" in row else None)


def test_collect_on_a_terminal_shows_a_bar_and_ends_quietly_with_its_pipe(programs: Programs, simulator: str) -> None:
    """The bar says how far it is and is gone at the end; `collect … | head -1` shows its line and no traceback."""
    config = write_configuration(programs.directory, account(simulator, ["app-1", "app-2", "app-3"]))
    words = " ".join(map(str, exporter("collect", f"--config.file={config}", "--output=json")))
    terminal, end = pty.openpty()
    try:
        done = subprocess.run(
            ["bash", "-c", f"{words} | head -1; exit ${{PIPESTATUS[0]}}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=end,
            check=False,
            env=programs.env | {"TERM": "xterm", "COLUMNS": "100"},
            cwd=programs.directory,
            timeout=LONG_SECONDS,
        )
        pieces = []
        while select.select([terminal], [], [], 0)[0]:
            pieces.append(os.read(terminal, 1_000_000))
        shown = b"".join(pieces).decode()
    finally:
        os.close(end)
        os.close(terminal)

    assert (done.stdout, done.returncode) == (b"{\n", 141)
    assert "collecting" in shown
    assert "3/3 apps, 360 tasks" in re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", shown)
    assert shown.endswith("\x1b[2K"), "the bar was not taken away, or something was said behind it"


def test_check_config_probes_each_app_with_one_request(programs: Programs, simulator: str) -> None:
    """`--probe` says of each app whether it can be read, and sends one request for it."""
    config = write_configuration(programs.directory, account(simulator, ["app-1", "nobodys", "app-2"]), rest=QUICK)
    before = Counter(ask_json(f"{simulator}/-/stats")["by_app"])

    done = programs.run_exporter("check-config", "--probe", config)

    assert (done.code, done.err) == (3, "")
    assert done.out.startswith(f"{config}: fine, 1 account, 3 apps, ")
    lines = done.out.splitlines()[-3:]
    assert lines[0] == "production/app-1: ok: it has tasks"
    assert lines[1].startswith("production/nobodys: app_invalid: ")
    assert lines[2] == "production/app-2: ok: it has tasks"
    assert Counter(ask_json(f"{simulator}/-/stats")["by_app"]) - before == {"app-1": 1, "nobodys": 1, "app-2": 1}


def test_an_output_that_nobody_reads_is_no_finding(programs: Programs) -> None:
    """Whatever writes it, the program ends as by SIGPIPE and says nothing: 1 would be a violation."""
    for words in (["rules", "list", "--app.id=a"], ["rules", "list", "--app.id=a", "--output=json"], ["--help"]):
        reading, writing = os.pipe()
        os.close(reading)
        try:
            done = subprocess.run(
                exporter(*words),
                stdout=writing,
                stderr=subprocess.PIPE,
                check=False,
                timeout=LONG_SECONDS,
                env=programs.env,
            )
        finally:
            os.close(writing)
        assert (done.returncode, done.stderr) == (141, b""), words


def test_an_output_that_cant_be_written_is_one_line_of_error(programs: Programs, simulator: str) -> None:
    """A full disk is no bug of the program: each command names it, with a code of its own."""
    stored = f"{QUICK}storage: {{url: sqlite:state.db}}\n"
    config = write_configuration(programs.directory, account(simulator, ["app-1"]), rest=stored)
    Database(f"sqlite:{programs.directory / 'state.db'}").close()
    file, formats = f"--config.file={config}", ("table", "json", "prometheus", "sarif", "junit")
    collected = [["collect", file, f"--output={each}"] for each in formats[:3]]
    audited = [["audit", file, f"--output={each}"] for each in formats if each != "prometheus"]
    listed = [[*words, file, f"--output={each}"] for words in (["history"], ["rules", "list"]) for each in formats[:2]]
    others = [["check-config", file], ["completion", "bash"], ["--help"], ["audit", "--help"]]
    others += [["simulate", "--web.listen-address=127.0.0.1:0"], ["--version"]]
    for words in sampled([*collected, *audited, *listed, *others], one_in=2):
        err = programs.directory / "err"
        ended = Forked(words, out=Path("/dev/full"), err=err, directory=programs.directory, env=programs.env)
        assert ended.wait(LONG_SECONDS) == 74, words
        assert err.read_text() == "rtcmpu-exporter: standard output can't be written: No space left on device\n", words
