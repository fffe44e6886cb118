"""Prometheus exporter for the mixed-stream relay (MPU) tasks of ApsaraVideo Live."""

from pathlib import Path

__version__ = "0.2.0"


def revision(package: Path = Path(__file__).parent) -> str:
    """Return the Git commit that a release build wrote into the package; `unknown` without one."""
    file = package / "revision.txt"
    return file.read_text(encoding="ascii").strip() if file.is_file() else "unknown"
