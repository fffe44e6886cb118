"""What is installed is what was locked, to the byte, and known weaknesses of it are looked for."""

import ast
import asyncio
import io
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain

import pytest

from tests.deploy.audit_dependencies import LOCKS, Pinned, audit, locked, normalised
from tests.support.fake_service import Answer, answer_json, answer_text, serving
from tests.support.processes import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = (Pinned("aiohttp", "3.0.0", ()), Pinned("rich", "14.0.0", ()))
WEAK = {"results": [{"vulns": [{"id": "GHSA-2"}, {"id": "GHSA-1"}]}, {}]}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reach this machine directly, whatever the environment says."""
    monkeypatch.setenv("no_proxy", "*")


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_is_pinned_with_hashes(name: str) -> None:
    """Each line of a lock is one version of one package with its SHA-256; nothing comes from elsewhere."""
    packages = locked(name)
    assert packages
    for package in packages:
        assert re.fullmatch(r"[a-z0-9-]+", package.name), package.name
        assert package.version, package.name
        assert package.hashes, package.name
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest) for digest in package.hashes), package.name


def test_every_dependency_is_locked() -> None:
    """What the project names is in its lock, and what is developed with has the versions that run."""
    runtime = {package.name: package.version for package in locked("runtime.lock")}
    dev = {package.name: package.version for package in locked("dev.lock")}
    build = {package.name: package.version for package in locked("build.lock")}
    groups = PROJECT["dependency-groups"]
    named = [*PROJECT["project"]["dependencies"], *chain(*PROJECT["project"]["optional-dependencies"].values())]
    assert {_name(requirement) for requirement in named} <= runtime.keys()
    assert {_name(requirement) for requirement in groups["dev"]} <= dev.keys()
    assert {_name(requirement) for requirement in groups["build"]} <= build.keys()
    assert runtime.items() <= dev.items()


def test_every_import_is_a_dependency() -> None:
    """The exporter imports what the project names, and nothing that others bring along."""
    imported = {
        name.partition(".")[0]
        for file in (ROOT / "exporter").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        for name in _imported(node)
    }
    installed = packages_distributions()
    foreign = {name: installed.get(name, []) for name in imported - sys.stdlib_module_names - {"exporter"}}
    declared = {_name(requirement) for requirement in PROJECT["project"]["dependencies"]}
    assert len(foreign) > 10
    assert {name: by for name, by in foreign.items() if not declared & {normalised(each) for each in by}} == {}


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (answer_json({"results": [{}, {}]}), 0, "2 packages looked up, 0 with known weaknesses\n"),
        (answer_json(WEAK), 1, "aiohttp 3.0.0: GHSA-1, GHSA-2\n2 packages looked up, 1 with known weaknesses\n"),
        (answer_text("blocked", status=403), os.EX_TEMPFAIL, "the audit of 2 packages did not run: "),
        (answer_text("<html>"), os.EX_TEMPFAIL, "the audit of 2 packages did not run: "),
    ],
    ids=["fine", "weak", "refused", "no database"],
)
async def test_known_weaknesses_fail_the_audit(answer: Answer, code: int, said: str) -> None:
    """It names each package with what is known; without an answer it says that it did not run."""
    out = io.StringIO()
    async with serving(answer) as database:
        assert await asyncio.to_thread(audit, PACKAGES, database.address, out) == code
    assert [question.method for question in database.requests] == ["POST"]
    assert out.getvalue().startswith(said)


@pytest.mark.processes
def test_an_audit_without_a_network_did_not_run() -> None:
    """A database that nobody reaches is no failure of the project, and CI reports it as a check that did not run."""
    out = io.StringIO()
    assert audit(PACKAGES, "http://127.0.0.1:1/", out) == os.EX_TEMPFAIL
    script = (ROOT / ".ci" / "run").read_text()
    assert "tests.deploy.audit_dependencies" in script
    functions = script[script.index("check() {") : script.index("# Says which check")]
    lines = f"say() {{ :; }}; longest_step=9; could_not_run={os.EX_TEMPFAIL}; not_run=(); failed=(); {functions}"
    done = subprocess.run(
        ["bash", "-euc", f"{lines} check audit bash -c 'exit {os.EX_TEMPFAIL}'; echo ${{not_run[@]}},${{#failed[@]}}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "audit: DID NOT RUN\naudit,0\n"


def _name(requirement: str) -> str:
    """Return the name of a requirement as the project writes it."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found
    return normalised(found[0])
