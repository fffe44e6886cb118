"""Tests of the Dockerfile: what it builds from, as whom it runs, and that its health check tells healthy from not."""

import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from tests.deploy.dockerfile import (
    DOCKERFILE,
    Instruction,
    check_health,
    copied,
    ignored_lines,
    instructions,
    is_sent,
    stages,
)
from tests.support.command_line import parsed
from tests.support.configurations import read_yaml
from tests.support.http import Handler, serving_in_a_thread
from tests.support.processes import ROOT, free_port

TEXT: Final = DOCKERFILE.read_text()
BUILD, FINAL = stages(TEXT)
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def those(stage: list[Instruction], word: str) -> list[Instruction]:
    """Return the instructions of a stage with this word."""
    return [instruction for instruction in stage if instruction.word == word]


def last(word: str) -> Instruction:
    """Return the instruction that is in force in the end."""
    return those(FINAL, word)[-1]


def test_all_stages_begin_with_one_pinned_base() -> None:
    """The base is a Python of one minor version, which the project is tested with, and it can be given by digest."""
    (base,) = [one.argument for one in instructions(TEXT) if one.word == "ARG" and one.argument.startswith("BASE=")]
    version = re.fullmatch(r"BASE=python:(3\.\d+)-slim", base)
    assert version
    assert f"Programming Language :: Python :: {version[1]}" in PROJECT["classifiers"]
    assert [stage[0].argument.split(" AS ")[0] for stage in (BUILD, FINAL)] == ["${BASE}", "${BASE}"]
    (removal,) = those(FINAL, "RUN")
    assert f"/usr/local/lib/python{version[1]}/ensurepip" in removal.argument


@pytest.mark.parametrize("source", [source for copy in those(BUILD, "COPY") for source in copied(copy)[0]])
def test_what_is_copied_is_there_and_is_sent(source: str) -> None:
    """Each source exists in the tree and is not kept from the builder."""
    path = ROOT / source
    assert path.exists()
    files = [path] if path.is_file() else [file for file in path.rglob("*.py") if "__pycache__" not in file.parts]
    assert files
    assert [file for file in files if not is_sent(str(file.relative_to(ROOT)), ignored_lines())] == []


def test_nothing_else_is_sent() -> None:
    """Neither the history nor tests, caches, configurations or secrets beside the code reach the builder."""
    caches = "exporter/__pycache__/cli.cpython-313.pyc exporter/web/__pycache__/view.cpython-313.pyc"
    others = (
        ".git/config .venv/bin/python tests/conftest.py docs/configuration.md deploy/docker/Dockerfile rtcmpu.yml .env"
    )
    assert [path for path in f"{caches} {others}".split() if is_sent(path, ignored_lines())] == []


def test_only_what_is_locked_is_installed() -> None:
    """Each use of pip takes what it is given and no dependency of it; none builds with tools of its own choice."""
    commands = [command for run in those(BUILD, "RUN") for command in run.argument.split("&&") if " pip " in command]
    assert len(commands) == 4
    for command in commands:
        assert "--no-deps" in command
        assert ("--require-hashes" in command) == (".lock" in command)
        assert ("pip wheel" in command) == ("--no-build-isolation" in command)
    assert "--no-index" in commands[-1]


def test_the_image_holds_the_program_and_no_installer() -> None:
    """The last stage takes one directory of the first, runs no pip, and removes the base's."""
    assert [copied(copy) for copy in those(FINAL, "COPY")] == [
        (["--from=build", "/opt/rtcmpu-exporter"], "/opt/rtcmpu-exporter")
    ]
    (run,) = those(FINAL, "RUN")
    assert "pip install" not in run.argument
    assert run.argument.startswith("rm -rf /usr/local/bin/pip*")
    assert "--without-pip /opt/rtcmpu-exporter" in TEXT


def test_it_runs_as_nobody_in_particular() -> None:
    """The user is a number that is not root's, owns the one directory that is written to, and is the chart's."""
    user = re.fullmatch(r"(\d+):\1", last("USER").argument)
    assert user
    assert int(user[1]) >= 10_000
    assert FINAL.index(last("USER")) > max(FINAL.index(run) for run in those(FINAL, "RUN"))
    (run,) = those(FINAL, "RUN")
    assert f"install -d -o {user[1]} -g {user[1]} -m 0700 {last('WORKDIR').argument}" in run.argument
    context = read_yaml((ROOT / "deploy/helm/rtcmpu-exporter/values.yaml").read_text())["podSecurityContext"]
    assert context["runAsUser"] == context["runAsGroup"] == int(user[1])


def test_it_starts_the_daemon_on_the_exposed_port() -> None:
    """The entry point is the project's script, the default command is one that it understands, on the default port."""
    (program,) = last("ENTRYPOINT").words
    assert program in PROJECT["scripts"]
    options = parsed(last("CMD").words)
    assert str(options["config_file"]).startswith("/etc/rtcmpu-exporter/")
    assert options["listen_addresses"] == (":10678",)
    assert last("EXPOSE").argument == "10678"


@contextmanager
def _health(status: int) -> Iterator[int]:
    """Answer on a port as the daemon would; nothing but `/-/healthy` is there."""

    class Health(Handler):
        def answer(self) -> None:
            self.respond(status=status if self.path == "/-/healthy" else 404)

    with serving_in_a_thread(Health) as address:
        yield int(address.rpartition(":")[2])


@pytest.mark.parametrize(("status", "code"), [(200, 0), (401, 0), (503, 1), (404, 1)])
def test_the_health_check_tells_healthy_from_unhealthy(status: int, code: int) -> None:
    """It ends with 0 for 200, and for 401: a password is set, and the server answers."""
    with _health(status) as port:
        assert check_health(port) == code


def test_the_health_check_fails_when_nobody_answers() -> None:
    """A daemon that does not listen is not healthy."""
    assert check_health(free_port()) != 0
