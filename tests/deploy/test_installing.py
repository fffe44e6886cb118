"""Tests of how the Makefile installs: which Python it takes, and nothing but what the locks name."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.support.generated import IN_CI
from tests.support.processes import ROOT

_FAKE_PYTHON: Final = """#!/bin/sh
case "$1 $2" in
"-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && touch "$3/pyvenv.cfg" ;;
-c*) exec {real} -c "import sys
sys.version, sys.version_info = '3.{minor}.1 (fake)', (3, {minor}, 1)
exec(sys.argv[1])" "$2" ;;
esac
"""
"""Says that it is Python 3.{minor}; its environments are copies of itself, and its pip installs nothing."""
_PYTHON_WITH_OLD_PIP: Final = """#!/bin/sh
case "$1 $2" in
"-m venv") {real} -m venv --without-pip "$3" && {real} -m zipfile -e {pip} "$3"/lib/python*/site-packages ;;
*) exec {real} "$@" ;;
esac
"""
OLD_PIPS: Final = [*(["23.0.1"] if sys.version_info < (3, 12) else []), "23.2.1"][: None if IN_CI else 1]
"""Those of Debian 12 and of Python 3.11.7; the first can't run on Python 3.12. Outside of CI one of them is enough."""


def _checkout(directory: Path) -> Path:
    """Make what `make` needs, with locks that name nothing."""
    (directory / "requirements").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", directory)
    for name in ("requirements/runtime.lock", "requirements/dev.lock", "pyproject.toml"):
        (directory / name).touch()
    return directory


def _program(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def _fake_python(path: Path, minor: int) -> Path:
    return _program(path, _FAKE_PYTHON.format(real=sys.executable, minor=minor))


def _make(checkout: Path, *words: str, variables: Mapping[str, str] = os.environ) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in variables.items() if not name.startswith(("MAKE", "PYTHON", "VENV"))}
    return subprocess.run(
        ["make", *words], cwd=checkout, env=kept, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.processes
@pytest.mark.parametrize("python", ["3.10", "absent"])
def test_a_python_that_is_too_old_is_refused_before_anything_is_made(tmp_path: Path, python: str) -> None:
    """`make demo` says which version it found and how to name another, and leaves nothing behind."""
    checkout = _checkout(tmp_path / "checkout")
    _fake_python(tmp_path / "3.10", 10)
    made = _make(checkout, "demo", f"PYTHON={tmp_path / python}")
    assert made.returncode != 0
    assert "3.11 or newer" in made.stderr
    assert "PYTHON=python3.12 make demo" in made.stderr
    assert python == "absent" or "is Python 3.10.1:" in made.stderr
    assert not (checkout / ".venv").exists()


@pytest.mark.processes
@pytest.mark.parametrize("before", ["nothing", "same version", "another version", "dangling", "no python", "no venv"])
def test_an_environment_that_does_not_fit_is_made_again(tmp_path: Path, before: str) -> None:
    """One that is broken or of another version is replaced, what it said was installed is installed again; what is no
    environment loses no file.
    """  # noqa: D205 - one sentence
    checkout = _checkout(tmp_path / "checkout")
    python = _fake_python(tmp_path / "python3.12", 12)
    environment = checkout / ".venv"
    if before != "nothing":
        (environment / "bin").mkdir(parents=True)
        (environment / "runtime.stamp").touch()
        if before != "no venv":
            (environment / "pyvenv.cfg").touch()
            os.utime(environment / "pyvenv.cfg", (1, 1))
    match before:
        case "same version":
            _fake_python(environment / "bin" / "python", 12)
        case "another version":
            _fake_python(environment / "bin" / "python", 10)
        case "dangling":
            (environment / "bin" / "python").symlink_to(tmp_path / "removed")
    (environment / "mark").touch() if before != "nothing" else None
    made = _make(checkout, "demo", f"PYTHON={python}")
    assert made.returncode == 0, made.stderr
    assert (environment / "mark").exists() == (before in {"same version", "no venv"})
    assert ("requirements/runtime.lock" in made.stdout) == (before != "same version")
    assert "(3, 12)" in subprocess.check_output(
        [environment / "bin" / "python", "-c", "print(sys.version_info[:2])"], text=True
    )


def _wheel(directory: Path, name: str, version: str, *, metadata: str = "") -> str:
    """Make a package of nothing, in its place of an index; return its lock line."""
    path = directory / name / f"{name}-{version}-py3-none-any.whl"
    path.parent.mkdir(parents=True, exist_ok=True)
    about = f"{name}-{version}.dist-info"
    files = {
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as wheel:
        lines = []
        for file, text in files.items():
            wheel.writestr(file, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            lines.append(f"{file},sha256={digest},{len(text)}\n")
        wheel.writestr(f"{about}/RECORD", "".join(lines) + f"{about}/RECORD,,\n")
    links = "".join(f'<a href="{one.name}">{one.name}</a>\n' for one in sorted(path.parent.glob("*.whl")))
    (path.parent / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.mark.processes
@pytest.mark.parametrize("version", OLD_PIPS)
def test_an_old_pip_installs_the_lock_though_the_index_has_newer_releases(tmp_path: Path, version: str) -> None:
    """A newer release of a dependency with an extra changes nothing; without `--no-deps` it ends the installation."""
    download = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--quiet",
        "--dest",
        str(tmp_path),
        f"pip=={version}",
    ]
    subprocess.run(download, check=True, timeout=120)
    python = _program(
        tmp_path / "python",
        _PYTHON_WITH_OLD_PIP.format(real=sys.executable, pip=tmp_path / f"pip-{version}-py3-none-any.whl"),
    )
    checkout = _checkout(tmp_path / "checkout")
    index = tmp_path / "index"
    lock = _wheel(index, "inner", "1.0", metadata="Provides-Extra: more\n")
    lock += _wheel(index, "outer", "1.0", metadata="Requires-Dist: inner[more]>=1\n")
    _wheel(index, "inner", "2.0", metadata="Provides-Extra: more\n")
    (checkout / "requirements" / "runtime.lock").write_text(lock)
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    variables |= {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index.as_uri(), "PIP_NO_CACHE_DIR": "1"}

    def installed(*words: str) -> subprocess.CompletedProcess[str]:
        return _make(checkout, *words, ".venv/runtime.stamp", f"PYTHON={python}", variables=variables)

    resolved = installed("INSTALL=$(BIN)/python -m pip install --quiet --require-hashes")
    assert resolved.returncode != 0
    assert "inner[more]" in resolved.stderr
    made = installed()
    assert made.returncode == 0, made.stderr
    assert {path.name for path in checkout.glob(".venv/lib/*/site-packages/*er-*.dist-info")} == {
        "inner-1.0.dist-info",
        "outer-1.0.dist-info",
    }


def test_every_use_of_a_lock_leaves_dependencies_alone() -> None:
    """Wherever hashes are required, no resolver may look further than the lock."""
    places = ("Makefile", ".ci/run", "*.md", "docs/**/*.md", "deploy/**/*")
    uses = [
        (str(path.relative_to(ROOT)), line)
        for place in places
        for path in ROOT.glob(place)
        if path.is_file()
        for line in path.read_text().splitlines()
        if "--require-hashes" in line
    ]
    assert {file for file, _ in uses} >= {"Makefile", "deploy/docker/Dockerfile", "deploy/systemd/README.md"}
    assert [use for use in uses if "--no-deps" not in use[1]] == []


@pytest.mark.processes
def test_the_development_lock_is_complete() -> None:
    """What is installed without a resolver has every dependency that it asks for, in a version that it accepts."""
    check = subprocess.run(
        [sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False, timeout=120
    )
    assert check.returncode == 0, check.stdout
