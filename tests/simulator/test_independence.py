"""What the simulator is built from."""

import ast
from pathlib import Path

import pytest

from exporter import simulator

FILES = sorted(Path(simulator.__path__[0]).glob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_shares_no_code_with_what_it_tests(file: Path) -> None:
    """No file imports anything of the exporter but the simulator itself."""
    imported = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(node.module or "")
        elif isinstance(node, ast.Import):
            imported.update(name.name for name in node.names)
    ours = {name for name in imported if name.partition(".")[0] == "exporter"}
    assert all(name.startswith("exporter.simulator.") for name in ours)
    assert len(FILES) > 10
