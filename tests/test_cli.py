"""Tests of the command line: what it understands, and what it says to the rest."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from exporter import __version__
from exporter.cli import PROGRAM, cli, main
from exporter.commands.options import Bash
from exporter.service.daemon import Daemon
from exporter.simulator.simulation import parse_fault
from tests.support.command_line import logging_restored

INVALID = ".*: Invalid value for "
NO_APPS = "no apps configured: pass --config.file=FILE or --app.id=ID.*"
NOT_BOTH = "--config.file does not go with --app.id .*"
EXPECTED_ADDRESS = ": expected :PORT, HOST:PORT or .IPV6.:PORT, for example :10678"
NO_FILE = "/nowhere/x.yml:1:1: the file can't be read .*"


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Keep what a command does to the process's logging within the test."""
    with logging_restored():
        yield


def _exit_code(words: list[str]) -> int:
    """Run the program; return its exit code, whichever way it ends."""
    try:
        return main(words)
    except SystemExit as end:
        return int(end.code or 0)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` says the program's name and version."""
    assert _exit_code(["--version"]) == 0
    assert capsys.readouterr().out == f"rtcmpu-exporter {__version__}\n"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` lists all commands and says which one is the default."""
    assert _exit_code(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(re.search(rf"^ +{re.escape(command)}\b", shown, re.MULTILINE) for command in tuple(cli.commands))
    assert "Without a command: serve" in " ".join(shown.split())
    assert "example: rtcmpu-exporter demo" in shown


@pytest.mark.parametrize("command", [*cli.commands, "rules list", "rules test"])
def test_help_of_every_command_shows_an_example_that_it_understands(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each `--help` ends with examples of the command itself."""
    assert _exit_code([*command.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    examples = re.findall(rf"^ +rtcmpu-exporter ({command}\b.*)$", shown.partition("examples:\n")[2], re.MULTILINE)
    assert examples
    for example in examples:
        assert _exit_code([*example.split(), "--help"]) == 0, example


def test_examples_of_the_simulator_name_faults_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    """The `--fault` examples in the help text are valid, and the faults and variants that can be given are listed."""
    _exit_code(["simulate", "--help"])
    shown = capsys.readouterr().out
    assert re.search(r"^  not_json +200 that is HTML$", shown, re.MULTILINE)
    assert re.search(r"^  past_end +a page past the end", shown, re.MULTILINE)
    faults = re.findall(r"--fault[ =]([a-z]\S+=\S+)$", shown, re.MULTILINE)
    assert faults
    for fault in faults:
        assert parse_fault(fault).rate > 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["simulate", f"--listen-address={'x' * 64}:0"], "can't listen on x+:0: this is no host name; .*"),
        (["--bogus"], "rtcmpu-exporter serve: No such option '--bogus'.*; see .*"),
        (["serve", "--bogus"], "rtcmpu-exporter serve: No such option '--bogus'.*; see .*"),
        (["serve", "--web.listen=:1"], "rtcmpu-exporter serve: No such option .*--web.listen-address.*; see .*"),
        (["bogus"], "rtcmpu-exporter: unknown command 'bogus': there are .*; see rtcmpu-exporter --help"),
        (["colect"], "rtcmpu-exporter: unknown command 'colect': did you mean collect\\?; see .*"),
        (["serve", "--web.listen-address=x", "--app.id=a"], "listen address 'x': expected :PORT, HOST:PORT or .*"),
        (["serve", "--web.telemetry-path=x", "--app.id=a"], "telemetry path 'x': expected a path .*"),
        (["serve", "--web.telemetry-path=/config", "--app.id=a"], "telemetry path '/config': something else .*"),
        (["serve", "--log.level=loud"], INVALID + "'--log.level': 'loud' is not one of .*"),
        ([], NO_APPS),
        (["serve"], NO_APPS),
        (["collect"], NO_APPS),
        (["collect", "--api.endpoint=http://x"], NO_APPS),
        (["collect", "--config.file=c", "--app.id=a"], NOT_BOTH),
        (["collect", "--config.file=c", "--api.endpoint=http://x"], NOT_BOTH),
        (["collect", "--app.id=a b"], "--app.id: 'a b', expected 1 to 64 letters, digits or _ -"),
        (["collect", "--app.id=a", "--api.endpoint=ftp://x"], "--api.endpoint: not usable, expected http:// .*"),
        (["collect", "--config.file=/nowhere/x.yml"], NO_FILE),
        (["check-config", "/nowhere/x.yml"], NO_FILE),
        (["check-config"], "rtcmpu-exporter check-config: expected one --config.file=FILE; see .* check-config --help"),
        (["check-config", "--config.file=a", "b"], ".* check-config: expected one --config.file=FILE; see .*"),
        (["check-config", "--config.file=/nowhere/x.yml"], NO_FILE),
        (["collect", "--app.id"], ".* collect: Option '--app.id' requires an argument; see .* collect --help"),
        (["--app.id"], ".* serve: Option '--app.id' requires an argument; see .* serve --help"),
        (["serve", "a.yml"], ".* serve: unexpected argument 'a.yml': did you mean --config.file=a.yml\\?; see .*"),
        (["check-config", "a", "b"], ".* check-config: unexpected argument 'b': did you mean .*"),
        (["demo", "x"], "rtcmpu-exporter demo: unexpected argument 'x'; see rtcmpu-exporter demo --help"),
        (["version"], "rtcmpu-exporter: unknown command 'version': did you mean --version\\?; see .*"),
        (["completion"], ".* completion: Missing argument .*; see rtcmpu-exporter completion --help"),
        (["collect", "--output=xml"], INVALID + "'--output': 'xml' is not one of .*"),
        (["audit"], NO_APPS),
        (["audit", "--output=prometheus"], INVALID + "'--output': 'prometheus' is not one of .*"),
        (["audit", "--fail-on=high"], INVALID + "'--fail-on': 'high' is not one of .*"),
        (["rules"], "rtcmpu-exporter rules: Missing command; see .*"),
        (["rules", "list"], NO_APPS),
        (["rules", "list", "--config.file=c", "--app.id=a"], NOT_BOTH),
        (["rules", "test"], "rtcmpu-exporter rules test: Missing argument .*; see .*"),
        (["rules", "test", "/nowhere/x.yml"], NO_FILE),
        (["simulate", "--apps=some"], INVALID + "'--apps': 'some': expected a whole number.*"),
        (["simulate", "--apps=-1"], INVALID + "'--apps': '-1': expected a whole number.*"),
        (["simulate", "--churn=nan"], INVALID + "'--churn': 'nan': expected a number.*"),
        (["simulate", "--churn=inf"], INVALID + "'--churn': 'inf': expected a number.*"),
        (["simulate", "--churn=much"], INVALID + "'--churn': 'much': expected a number.*"),
        (["simulate", "--tasks=1000000000000"], "3 apps of 1000000000000 tasks: expected at most 1000000 tasks in all"),
        (["simulate", "--churn=1e308"], "churn 1e\\+308: expected at most 1000 events a second"),
        (["history", "--config.file=x.yml", "--since=1h", "--until=2h"], "--since is later than --until: .*"),
        (["simulate", "--demo", "--apps=2"], "--demo does not go with --apps: its fleet is fixed"),
        (["simulate", "--fault=bogus"], "fault 'bogus': unknown fault 'bogus'; there are: .*"),
        (["simulate", "--fault=reset=2"], "fault 'reset=2': the rate of fault reset is 2.0, expected 0 to 1"),
        (["simulate", "--fault=hang=often"], "fault 'hang=often': could not convert string to float.*"),
        (["simulate", "--variant=bogus=1"], "variant 'bogus=1': expected NAME=VALUE with one of past_end.*"),
        (["simulate", "--variant=past_end"], "variant 'past_end': expected NAME=VALUE.*"),
        (["simulate", "--variant=past_end=bogus"], "variant: Invalid enum value 'bogus'.*"),
        (["simulate", "--listen-address=x"], f"listen address 'x'{EXPECTED_ADDRESS}"),
        (["simulate", "--listen-address=localhost:70000"], f"listen address 'localhost:70000'{EXPECTED_ADDRESS}"),
        (["demo", "--simulator.listen-address=x"], f"listen address 'x'{EXPECTED_ADDRESS}"),
        (["demo", "--simulator.listen-address=[::1]:0x1"], f"listen address '\\[::1\\]:0x1'{EXPECTED_ADDRESS}"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is wrong with flags or files is said in one line, without a traceback, and nothing is started."""
    assert _exit_code(words) == 2

    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.fullmatch(line + "\n", shown.err), shown.err


def test_several_mistakes_of_flags_are_reported_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong AppId does not hide a wrong endpoint."""
    assert _exit_code(["collect", "--app.id=a b", "--app.id=c d", "--api.endpoint=x"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "incomplete", "completions"),
    [
        ([], "co", {"collect", "completion"}),
        ([], "--web.t", {"--web.telemetry-path"}),
        (["--log.level"], "w", {"warn", "warning"}),
        (["rules"], "", {"list", "test"}),
        (["audit", "--fail-on", "="], "c", {"critical"}),
        (["simulate", "--fault"], "throttled_user", {"throttled_user_api"}),
    ],
)
def test_a_shell_completes_commands_flags_and_values(
    words: list[str], incomplete: str, completions: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flags of `serve` are completed without the word, values also behind `=`."""
    line = [PROGRAM, *words, incomplete]
    monkeypatch.setenv("COMP_WORDS", " ".join(line))
    monkeypatch.setenv("COMP_CWORD", str(len(line) - 1))
    shell = Bash(cli, {}, PROGRAM, "")
    assert {item.value for item in shell.get_completions(*shell.get_completion_args())} == completions


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`completion` prints a script that asks the program."""
    assert _exit_code(["completion", shell]) == 0
    assert f"_RTCMPU_EXPORTER_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_serve_is_what_a_command_line_without_a_command_means(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Flags of `serve` are understood without the word."""
    config = tmp_path / "x.yml"
    assert _exit_code([f"--config.file={config}", "--log.format=json"]) == 2
    assert capsys.readouterr().err.startswith(f"{config}:1:1: the file can't be read")


@pytest.mark.parametrize(
    "error", [ValueError("user-4711"), KeyError("user-4711"), TypeError("a bug"), RecursionError()]
)
def test_an_internal_error_is_no_usage_error(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What nobody expected ends with a traceback and a code of its own, never with 1 or 2."""

    def fails(*_arguments: object) -> int:
        raise error

    monkeypatch.setattr("exporter.commands.collect.collect", fails)
    assert _exit_code(["collect", "--app.id=a"]) == 70
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("rtcmpu-exporter: internal error, please report it\n")
    assert "in fails" in shown.err
    assert type(error).__name__ in shown.err
    assert "user-4711" not in shown.err


def test_a_signal_ends_the_demo_before_it_listens(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It succeeds, and prints no address that nobody can open."""

    async def stopped(_daemon: Daemon) -> None:
        """Return as after a signal."""

    monkeypatch.setattr(Daemon, "run", stopped)
    assert _exit_code(["demo", "--web.listen-address=127.0.0.1:0", "--simulator.listen-address=127.0.0.1:0"]) == 0
    assert capsys.readouterr() == ("", "")
