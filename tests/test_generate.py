"""Tests of the generated documents."""

from pathlib import Path

import pytest

from tests.generate import ROOT, generated, main


def test_what_is_committed_is_what_the_declarations_say() -> None:
    """The documents in the repository are those that would be generated now."""
    for name, text in generated().items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, f"{name} is out of date: run `make generate`"


def test_written_files_pass_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was just written is up to date, and nothing is written twice."""
    assert main([], root=tmp_path) == 0
    assert capsys.readouterr().out.splitlines() == [f"{name} written" for name in generated()]

    assert main(["--check"], root=tmp_path) == 0
    assert main([], root=tmp_path) == 0
    assert capsys.readouterr().out == ""


def test_an_outdated_file_is_named_with_what_mends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The check names exactly the file that differs, says which command mends it, and leaves it as it is."""
    main([], root=tmp_path)
    for name in generated():
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text("edited by hand\n")
        assert main(["--check"], root=tmp_path) == 1
        assert capsys.readouterr().err == f"{name} is out of date: run `make generate`\n"
        assert (tmp_path / name).read_text() == "edited by hand\n"
        (tmp_path / name).write_text(text)


def test_a_missing_file_is_out_of_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The check does not pass where the documents are not there at all."""
    assert main(["--check"], root=tmp_path) == 1
    assert len(capsys.readouterr().err.splitlines()) == len(generated())
