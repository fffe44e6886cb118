"""The generated documents are up to date, and their computed tables say what the program itself would forecast."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from exporter.config.capacity import forecast
from exporter.config.model import Account, App, Config, Quota
from exporter.config.section import ValueType, keys_of, kind_of, kinds_of
from exporter.metrics.exposition import declarations
from tests.document_tables import DOCUMENTS, TABLES, documents_with_tables, with_tables
from tests.generate import ROOT, generated, main


def test_what_is_committed_is_what_the_declarations_say() -> None:
    """The documents in the repository are those that would be generated now."""
    for name, text in generated().items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, f"{name} is out of date: run `make generate`"


def test_every_family_is_in_the_reference() -> None:
    """Nothing is published that the reference of metrics does not name."""
    text = generated()["docs/metrics.md"]
    assert [one.name for one in declarations() if not re.search(rf"^- `{one.name}[`{{]", text, re.MULTILINE)] == []


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


def _rows(name: str) -> list[list[str]]:
    """Return the cells of a table without its head."""
    table = with_tables(f"<!-- {name}: computed by `make generate` -->\n<!-- end -->\n")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[3:-1]]


def _forecast(apps: int, tasks: int, budget: float = 40) -> float:
    """Return by how much the program stretches the default intervals for this many apps."""
    quota = Quota(single=tasks, mixed=0)
    account = Account(
        name="a", requests_per_second=budget, apps=tuple(App(id=f"app-{n}", quota=quota) for n in range(apps))
    )
    (outlook,) = forecast(Config(accounts=(account,)))
    return outlook.pace.stretch_ratio


def test_every_table_stands_in_a_document() -> None:
    """Each table is between markers of its own."""
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS]
    marked = [name for text in texts for name in re.findall(r"<!-- ([a-z-]+): computed", text)]
    assert sorted(marked) == sorted(TABLES)
    assert len(marked) == sum(text.count("<!-- end -->") for text in texts)


def test_every_key_is_in_the_reference() -> None:
    """Nothing can be configured that the reference of the configuration does not name."""
    rows = re.findall(r"^ *- (`.*?):", generated()["docs/configuration.md"], re.MULTILINE)
    written = {key for row in rows for key in row.split("`")}
    missing = {
        key
        for model in _mappings(kind_of(Config))
        for key in keys_of(model)
        if key not in {"type", "min", "max"} and not any(one == key or one.endswith(f".{key}") for one in written)
    }
    assert missing - set(keys_of(Config)) == set()


def _mappings(kind: ValueType) -> Iterator[type[BaseModel]]:
    """Yield all mappings that can be within a value."""
    while kind.item is not None:
        kind = kind_of(kind.item)
    for model in kind.models:
        yield model
        for inner in kinds_of(model).values():
            yield from _mappings(inner)


def test_every_row_of_a_table_is_whole() -> None:
    """Each has as many cells as its head, and its last one, which describes what the row is about, is not empty."""
    for name, made in TABLES.items():
        width = 0
        for line in made().splitlines():
            cells = re.split(r"(?<!\\)\|", line)[1:-1] if line.startswith("|") else []
            assert len(cells) in {0, width or len(cells)}, (name, line)
            assert all(map(str.strip, cells[-1:])), (name, line)
            width = len(cells)


def test_only_what_stands_between_markers_is_replaced() -> None:
    """The rest of a document stays as it was written, and what was edited by hand between markers goes."""
    text = "before\n<!-- needs-by-default: computed by `make generate` -->\nby hand\n<!-- end -->\nafter\n"
    made = with_tables(text)
    assert made.startswith("before\n<!-- needs-by-default")
    assert made.endswith("<!-- end -->\nafter\n")
    assert "by hand" not in made
    assert with_tables(made) == made


def test_a_marker_without_a_table_is_an_error(tmp_path: Path) -> None:
    """A misspelt marker does not go unnoticed."""
    for name in DOCUMENTS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("<!-- bogus: computed by `make generate` -->\n<!-- end -->\n")
    with pytest.raises(KeyError):
        documents_with_tables(tmp_path)


def test_apps_beyond_those_in_the_table_are_stretched() -> None:
    """At the default intervals, this many apps as the table says are read in time, and one more is not."""
    (row,) = (row for row in _rows("apps-within-budgets") if row[0] == "`10s`")
    for budget, cell in zip((2, 5, 10, 20, 40, 50), row[2:], strict=True):
        most = int(cell.replace(",", ""))
        assert _forecast(most, 240, budget) == 1
        assert _forecast(most + 1, 240, budget) > 1


def test_what_is_said_to_be_stretched_is() -> None:
    """The table of needs shows the ratio that the forecast has."""
    for apps, tasks, *_, stretched, _, _, _ in _rows("needs-by-default"):
        ratio = _forecast(int(apps.replace(",", "")), int(tasks.replace(",", "")))
        assert stretched == ("no" if ratio == 1 else f"{ratio:.2f} x")
