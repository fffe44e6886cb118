"""Every command line of the documents does what it is shown for, on the simulated service of the documents."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import trustme

from exporter import cli
from tests.docs.documents import Block, blocks, command_lines
from tests.support.certificates import write_server_files
from tests.support.command_line import logging_restored, parsed
from tests.support.http import ask, ask_json
from tests.support.processes import LONG_SECONDS, ROOT, Programs, eventually, needed_tool

PROGRAM: Final = "rtcmpu-exporter "
SERVERS: Final = re.compile(r"rtcmpu-exporter (serve|demo|simulate)\b")

NOT_RUN: Final = {
    r"rtcmpu-exporter .*--app\.id=": "needs the user's own key",
    r"make ": "installs packages; that its target exists is tested",
    r"(.*/)?pip |pipx |uvx |python3 -m venv |export ": "sets up an environment of its own",
    r"git clone |cd |mkdir ": "makes a directory of its own",
    r"docker |helm |kubectl ": "needs images or a cluster; what it uses is tested under tests/deploy",
    r"prometheus ": "listens on a port of its own; its configuration is checked",
    r"install |htpasswd ": "asks for a secret",
    r"systemctl |journalctl |timedatectl |chronyc |date ": "asks the machine",
    r"curl .*https://live\.aliyuncs\.com": "asks the service",
    r"curl .*localhost:9090": "asks a Prometheus",
}
"""What is not run, by how the line begins, and why."""

LINES: Final = tuple(dict.fromkeys(line for block in blocks("sh") for line in command_lines(block.text)))
RUN: Final = tuple(line for line in LINES if not any(re.match(pattern, line) for pattern in NOT_RUN))


class Stage:
    """A directory as a reader of the documents has it, with the service and the daemon of the documents beside it."""

    def __init__(self, directory: Path, programs: Programs) -> None:
        self.directory = directory
        self.programs = programs
        _, simulator = programs.start_simulator("--demo")
        self._addresses = {"http://127.0.0.1:10679": simulator, "~/rtcmpu-exporter/": f"{ROOT}/"}
        self._write_files()
        _, exporter = programs.start_daemon(directory / "rtcmpu.yml")
        self._addresses |= {"http://localhost:10678": exporter, "http://exporter.example.com:10678": exporter}
        eventually(lambda: self._has_much_to_show(exporter))

    def real(self, text: str) -> str:
        """Return a text with the addresses that the documents name replaced by those of this run."""
        for written, real in self._addresses.items():
            text = text.replace(written, real)
        return text

    def files(self, word: str) -> list[str]:
        """Return a word of a command line, or the files that it is a pattern of, as a shell has it."""
        return [str(file) for file in sorted(self.directory.glob(word))] if "*" in word else [word]

    def shell(self, line: str, given: str = "") -> subprocess.CompletedProcess[str]:
        for tool in re.findall(r"\b(jq|promtool)\b", line):
            needed_tool(tool)
        env = self.programs.env | {"PATH": f"{self.directory / 'bin'}:{self.programs.env['PATH']}"}
        return subprocess.run(
            ["bash", "-c", self.real(line)],
            cwd=self.directory,
            env=env,
            input=given,
            capture_output=True,
            text=True,
            timeout=LONG_SECONDS,
            check=False,
        )

    def _write_files(self) -> None:
        """Write the files that the documents tell one to write, and link those that the project has."""
        configuration, rules, *_ = (block for block in blocks("yaml") if block.place.startswith("docs/getting-started"))
        (self.directory / "rules").mkdir()
        (self.directory / "rules" / "agreed.yml").write_text(rules.text)
        (self.directory / "rtcmpu.yml").write_text(self.real(configuration.text))
        (web,) = (block for block in blocks("yaml") if block.place.startswith("docs/web-config"))
        (self.directory / "web.yml").write_text(web.text)
        write_server_files(self.directory, trustme.CA())
        strict_curl = self.directory / "bin" / "curl"
        strict_curl.parent.mkdir()
        strict_curl.write_text(f'#!/bin/sh\nexec "{needed_tool("curl")}" --fail --max-time 60 "$@"\n')
        strict_curl.chmod(0o755)

    def _has_much_to_show(self, exporter: str) -> None:
        assert re.findall(r"^rtcmpu_up\{.*\} (\d)", ask(f"{exporter}/metrics").text, re.MULTILINE) == ["1", "1"]
        for list_name, query in {"violations": "severity=critical", "changes": "app_id=live-main"}.items():
            assert ask_json(f"{exporter}/api/v1/{list_name}?{query}")[list_name]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One for all lines."""
    directory = tmp_path_factory.mktemp("reader")
    with Programs(directory) as programs:
        yield Stage(directory, programs)


@pytest.mark.processes
@pytest.mark.parametrize("line", [line for line in RUN if line.startswith(PROGRAM) and not SERVERS.match(line)])
def test_own_commands_do_what_they_are_shown_for(
    line: str, stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each ends well, or for `audit` with findings, and says something, which whatever is behind `|` can read."""
    monkeypatch.chdir(stage.directory)
    own, _, reader = line.partition(" | ")
    with logging_restored():
        code = cli.main([name for word in shlex.split(own)[1:] for name in stage.files(word)])

    shown = capsys.readouterr()
    assert code == (1 if "audit" in own else 0), shown.err
    assert shown.out
    assert shown.err == ""
    if reader:
        assert stage.shell(reader, shown.out).returncode == 0


@pytest.mark.processes
@pytest.mark.parametrize("shown", blocks("text"), ids=lambda block: block.place)
def test_outputs_are_shown_as_they_are(
    shown: Block, stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A block of plain text is what the line in the block before it prints."""
    monkeypatch.chdir(stage.directory)
    of_document = [block for block in blocks("sh") if block.document == shown.document and block.line < shown.line]
    (line,) = command_lines(of_document[-1].text)
    with logging_restored():
        assert cli.main(shlex.split(line)[1:]) == 0
    assert capsys.readouterr().out == shown.text


@pytest.mark.processes
@pytest.mark.parametrize("line", [line for line in RUN if not line.startswith(PROGRAM)])
def test_other_commands_do_what_they_are_shown_for(line: str, stage: Stage) -> None:
    """Each ends well and says something, unless it shows what is wrong and nothing is."""
    done = stage.shell(line)
    assert done.returncode == 0, done.stderr
    assert done.stdout or "select(" in line
    assert done.stderr == "" or line.endswith("| head")


@pytest.mark.processes
@pytest.mark.parametrize("line", [line for line in RUN if SERVERS.match(line)])
def test_servers_begin_to_serve(line: str, stage: Stage) -> None:
    """Each line that starts a server does so; ports are replaced by free ones."""
    words = shlex.split(stage.real(line))[1:]
    flag = "--listen-address" if words[0] == "simulate" else "--web.listen-address"
    running = stage.programs.start(*words, f"{flag}=127.0.0.1:0", is_forked=True)
    running.wait_for(r"listening|^simulator ")
    running.end()


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith(PROGRAM)])
def test_own_command_lines_are_understood(line: str) -> None:
    """Each line with our program, also one that can't be run here, has flags and words that it takes."""
    own = re.split(r"[|;&]", line)[0]
    parsed(shlex.split(own)[1:])


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("make ")])
def test_make_has_the_targets(line: str) -> None:
    """Each `make` line names a target of the Makefile."""
    assert re.search(rf"^{line.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_every_reason_not_to_run_a_line_is_needed() -> None:
    """No reason outlives its line, and most of our own lines are run."""
    for pattern in NOT_RUN:
        assert any(re.match(pattern, line) for line in LINES), pattern
    assert len([line for line in RUN if line.startswith(PROGRAM)]) >= 10
