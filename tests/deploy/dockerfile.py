"""Reads a Dockerfile and what of a tree is sent to its builder, and follows its build stage without an engine.

`python -m tests.deploy.dockerfile DIRECTORY PYTHON` does what the build stage does, and runs what it installs.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from tests.support.processes import ROOT

DOCKERFILE: Final = ROOT / "deploy" / "docker" / "Dockerfile"
_INSTALLED: Final = "/opt/rtcmpu-exporter"
_WHERE_IT_IS: Final = "import exporter, pathlib; print(pathlib.Path(exporter.__file__).parent)"


class Instruction(NamedTuple):
    """One instruction, its continued lines joined."""

    word: str
    argument: str

    @property
    def words(self) -> list[str]:
        words: list[str] = json.loads(self.argument[self.argument.index("[") :])
        return words


def instructions(text: str) -> list[Instruction]:
    """Return the instructions of a Dockerfile without its comments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def stages(text: str) -> list[list[Instruction]]:
    """Return the instructions of each stage, beginning with its FROM; those before the first are not among them."""
    found: list[list[Instruction]] = []
    for instruction in instructions(text):
        if instruction.word == "FROM":
            found.append([])
        if found:
            found[-1].append(instruction)
    return found


def pairs(instruction: Instruction) -> dict[str, str]:
    """Return the names and values of an ENV or LABEL."""
    return {name: value.strip('"') for name, value in re.findall(r'([\w.]+)=("[^"]*"|\S+)', instruction.argument)}


def is_sent(path: str, ignored: Sequence[str]) -> bool:
    """Whether a file reaches the builder: the last line of .dockerignore that names it or a directory above decides."""
    sent = True
    for line in ignored:
        pattern = line.removeprefix("!")
        if _names(pattern, PurePosixPath(path)):
            sent = line.startswith("!")
    return sent


def _names(pattern: str, path: PurePosixPath) -> bool:
    above = [path, *path.parents][:-1]
    if pattern.startswith("**/"):
        return any(fnmatchcase(one.name, pattern.removeprefix("**/")) for one in above)
    return any(len(PurePosixPath(pattern).parts) == len(one.parts) and fnmatchcase(str(one), pattern) for one in above)


def ignored_lines() -> list[str]:
    """Return the lines of .dockerignore that say something."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def copied(instruction: Instruction) -> tuple[list[str], str]:
    """Return the sources and the destination of a COPY."""
    *sources, destination = instruction.argument.split()
    return sources, destination


def check_health(port: int) -> int:
    """Run the image's health check against a port of this machine; return its exit code.

    The environment has a proxy, which must not be asked.
    """
    (check,) = [one for one in stages(DOCKERFILE.read_text())[-1] if one.word == "HEALTHCHECK"]
    python, *arguments = check.words
    if python != "python3":
        raise ValueError(f"the health check is run by {python}: expected python3")
    command = [sys.executable, *(argument.replace("10678", str(port)) for argument in arguments)]
    proxy = "http://127.0.0.1:1"
    environment = {"http_proxy": proxy, "HTTP_PROXY": proxy}
    return subprocess.run(command, env=environment, capture_output=True, check=False, timeout=30).returncode


def follow_build_stage(directory: Path, python: Path, arguments: Mapping[str, str]) -> Path:
    """Do what the build stage does, below a directory and with this interpreter; return what it installs.

    Args:
        directory: Where.
        python: The interpreter.
        arguments: Build arguments.

    Raises:
        subprocess.CalledProcessError: A command of the stage failed.
    """
    building, installed = directory / "build", directory / "installed"
    building.mkdir(parents=True)
    variables: dict[str, str] = {}
    for instruction in stages(DOCKERFILE.read_text())[0]:
        match instruction.word:
            case "ARG":
                name, _, default = instruction.argument.partition("=")
                variables[name] = arguments.get(name, default)
            case "ENV":
                variables |= pairs(instruction)
            case "COPY":
                _copy(instruction, building)
            case "RUN":
                command = instruction.argument.replace(_INSTALLED, str(installed)).replace("python3 -m", f"{python} -m")
                _run(command, building, variables)
            case "FROM" | "WORKDIR":
                pass
            case _:
                raise ValueError(
                    f"{instruction.word} in the build stage: expected FROM, ARG, ENV, WORKDIR, COPY or RUN"
                )
    return installed


def _copy(instruction: Instruction, building: Path) -> None:
    sources, destination = copied(instruction)
    lines = ignored_lines()
    for source in sources:
        for file in _files(ROOT / source):
            name = file.relative_to(ROOT)
            if not is_sent(str(name), lines):
                continue
            inside = file.relative_to(ROOT / source) if (ROOT / source).is_dir() else Path(file.name)
            target = building / destination / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


def _run(command: str, directory: Path, variables: Mapping[str, str]) -> None:
    subprocess.run(["/bin/sh", "-ec", command], cwd=directory, env=os.environ | dict(variables), check=True)


def main(directory: Path, python: Path) -> None:
    """Install below a directory: the program runs there, with each file that it needs, and nothing installs software.

    Raises:
        subprocess.CalledProcessError: A command of the stage, or the program, failed.
        SystemExit: Something is there that must not be, or the other way round.
    """
    binaries = follow_build_stage(directory, python, {"REVISION": "0123abc"}) / "bin"

    def run(*command: str) -> str:
        done = subprocess.run(
            [binaries / command[0], *command[1:]], cwd=directory, check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout

    installed = Path(run("python3", "-c", _WHERE_IT_IS).strip())
    left_out = _names_in(ROOT / "exporter") - _names_in(installed)
    if not installed.is_relative_to(directory) or left_out:
        raise SystemExit(f"{installed} lacks {sorted(left_out)}")
    if list(binaries.glob("pip*")):
        raise SystemExit(f"there is a pip in {binaries}")
    if run("python3", "-c", "import exporter; print(exporter.revision())") != "0123abc\n":
        raise SystemExit("the wheel does not say which revision it was built from")
    sys.stdout.write(run("rtcmpu-exporter", "--version") + run("rtcmpu-exporter", "--help"))


def _names_in(package: Path) -> set[str]:
    return {
        str(path.relative_to(package))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]))
