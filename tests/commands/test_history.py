"""`history`: what it prints, and what it says without a database."""

import json
import time
from pathlib import Path

import pytest

from exporter.cli import main
from exporter.storage.database import Database
from tests.support.batches import batch, changed, entry
from tests.support.command_line import logging_restored
from tests.support.configurations import account, write_configuration

STORAGE = "storage: {url: 'sqlite:rtcmpu.db'}\n"


def run(capsys: pytest.CaptureFixture[str], directory: Path, *words: str, rest: str = STORAGE) -> tuple[int, str, str]:
    """Run the command on a configuration; return its exit code and what it printed."""
    config = write_configuration(directory, account("http://127.0.0.1:1"), rest=rest)
    with logging_restored():
        code = main(["history", f"--config.file={config}", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_it_prints_the_changes_of_a_time(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Oldest first, with the configuration before and after; filters leave what fits."""
    database = Database(f"sqlite:{tmp_path / 'rtcmpu.db'}")
    database.write(batch(entry("a")))
    old = changed(entry("a"), entry("a", idle_timeout_seconds=60), notes=("probably_restarted",))
    new = changed(None, entry("b\x1b[31m"), token="c")
    new.changes = [type(each)(each.change, time.time(), time.time() - 60) for each in new.changes]
    database.write(old)
    database.write(new)
    database.close()
    code, out, _ = run(capsys, tmp_path, "--since=1970-01-01T00:00:00Z", "--app=live", "--task=a")
    assert (code, "idle_timeout: nothing -> 60 s; probably restarted" in out, "added" in out) == (0, True, False)
    code, out, _ = run(capsys, tmp_path, "--since=1h")
    assert (code, "between " in out, "mode: mixed" in out, "\x1b" in out, "modified" in out) == (
        0,
        True,
        True,
        False,
        False,
    )
    code, out, _ = run(capsys, tmp_path, "--since=1970-01-01T00:00:00Z", "--output=json")
    found = [(change["task_id"], change["notes"]) for change in json.loads(out)["changes"]]
    assert found == [("a", ["probably_restarted"]), ("b\x1b[31m", [])]


@pytest.mark.parametrize(
    ("words", "rest", "code", "said"),
    [
        ((), "", 2, "no database: put storage: {url: sqlite:PATH} into the configuration"),
        ((), STORAGE, 3, "not found: the exporter writes it"),
        (("--since=2027-01-15T08:00:00",), STORAGE, 2, "'2027-01-15T08:00:00': expected a duration such as 24h"),
        ((f"--limit={10**30}",), STORAGE, 2, f"{10**30} is not in the range 1<=x<=1000000000"),
        (("--limit=0",), STORAGE, 2, "Invalid value for '--limit': 0 is not in the range 1<=x<=1000000000"),
        (("--since=yesterday",), STORAGE, 2, "expected a duration such as 24h, or a time such as 2027-01-15T08:00:00Z"),
    ],
)
def test_what_it_can_not_read_is_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...], rest: str, code: int, said: str
) -> None:
    """A sentence names what is missing, and nothing is made."""
    found = run(capsys, tmp_path, *words, rest=rest)
    assert (found[0], said in found[2]) == (code, True)
    assert [path.name for path in tmp_path.iterdir()] == ["rtcmpu.yml"]
