"""Writes what comes from declarations, or checks that it is up to date.

    python -m tests.generate [--check]

With `--check` nothing is written: each file that differs is named, and the exit code is 1.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from exporter.web.api import openapi_text
from grafana.generate import dashboard_files
from tests.chart_files import chart_files
from tests.document_tables import documents_with_tables
from tests.references.configuration_schema import schema_files

ROOT = Path(__file__).parent.parent


@cache
def generated() -> Mapping[str, str]:
    """Return each file that is generated, by its path from the root, with what it should hold."""
    dashboards = dashboard_files()
    return {
        **schema_files(),
        "docs/openapi.json": openapi_text(),
        **dashboards,
        **chart_files(dashboards),
        **documents_with_tables(ROOT),
    }


def main(arguments: Sequence[str] | None = None, *, root: Path = ROOT) -> int:
    """Write or check; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.generate", description="Write what comes from declarations.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    check = parser.parse_args(arguments).check
    outdated = [(name, text) for name, text in generated().items() if _content(root / name) != text]
    for name, text in outdated:
        if check:
            sys.stderr.write(f"{name} is out of date: run `make generate`\n")
        else:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
            sys.stdout.write(f"{name} written\n")
    return 1 if check and outdated else 0


def _content(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main())
