"""Tests of what GitHub runs: it is what everyone runs, and no name of a registry or index is written down."""

import re
import subprocess
from typing import Any, Final

import pytest

from exporter import __version__
from tests.support.configurations import read_yaml
from tests.support.processes import ROOT

WORKFLOWS: Final = sorted((ROOT / ".github/workflows").glob("*.yml"))
each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
RELEASE: Final = (ROOT / ".github/workflows/release.yml").read_text()


@each_workflow
def test_workflows_may_only_read_unless_a_job_says_otherwise(path: Any) -> None:
    """The token of a workflow can read the tree, and each job that needs more says so."""
    workflow = read_yaml(path.read_text())
    assert set(workflow["permissions"].values() if workflow["permissions"] else ()) <= {"read"}


@each_workflow
def test_no_host_is_written_down(path: Any) -> None:
    """Registries, indexes and repositories are repository variables, all of which CONTRIBUTING.md explains."""
    text = path.read_text().replace("users.noreply.github.com", "")
    assert not re.search(r"https?://|\b[\w-]+\.(?:io|com|org|net|dev)\b", text)
    explained = (ROOT / "CONTRIBUTING.md").read_text()
    for name in re.findall(r"(?:vars|secrets)\.(\w+)", text):
        assert f"`{name}`" in explained, name


def test_what_is_released_is_checked_before() -> None:
    """Every job of a release needs all checks, and the checks are those of `.ci/run`."""
    jobs = read_yaml(RELEASE)["jobs"]
    steps = read_yaml((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["checks"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["bash .ci/run"]
    assert jobs["checks"]["uses"] == "./.github/workflows/ci.yml"

    def needs(name: str) -> set[str]:
        direct = jobs[name].get("needs", [])
        direct = [direct] if isinstance(direct, str) else direct
        return set(direct).union(*map(needs, direct))

    assert all("checks" in needs(name) for name in jobs if name != "checks")


@pytest.mark.processes
def test_the_changelog_has_a_dated_section_with_upgrade_notes_for_the_version() -> None:
    """The release's text is that section, taken out as the workflow does."""
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## {re.escape(__version__)} - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE)
    program = re.search(r"'(/\^## /[^']*)' CHANGELOG\.md", RELEASE)
    assert program
    command = ["awk", "-v", f"version={__version__}", program[1], "CHANGELOG.md"]
    notes = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "### Upgrade notes" in notes
    assert "## 0." not in notes
