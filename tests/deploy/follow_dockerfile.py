"""Does what the Dockerfile's build stage does, without an engine, and runs what comes of it.

Run it as `python -m tests.deploy.follow_dockerfile DIRECTORY PYTHON`.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.support.dockerfile import follow_build_stage
from tests.support.processes import ROOT

_WHERE_IT_IS: Final = "import exporter, pathlib; print(pathlib.Path(exporter.__file__).parent)"


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
    left_out = _files(ROOT / "exporter") - _files(installed)
    if not installed.is_relative_to(directory) or left_out:
        raise SystemExit(f"{installed} lacks {sorted(left_out)}")
    if list(binaries.glob("pip*")):
        raise SystemExit(f"there is a pip in {binaries}")
    if run("python3", "-c", "import exporter; print(exporter.revision())") != "0123abc\n":
        raise SystemExit("the wheel does not say which revision it was built from")
    sys.stdout.write(run("rtcmpu-exporter", "--version") + run("rtcmpu-exporter", "--help"))


def _files(package: Path) -> set[str]:
    return {
        str(path.relative_to(package))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]))
