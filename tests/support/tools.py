"""Other people's programs that tests need."""

import os
import shutil
from pathlib import Path

import pytest

DEBIAN_PACKAGES = {
    "amtool": "prometheus-alertmanager",
    "curl": "curl",
    "jq": "jq",
    "chromium": "chromium",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "prometheus-node-exporter": "prometheus-node-exporter",
    "promtool": "prometheus",
    "systemd-analyze": "systemd",
    "systemd-socket-activate": "systemd",
}


def needed_tool(command: str) -> Path:
    """Return where a program is; without it the test is skipped, or fails where all tests must run (`CI=true`)."""
    found = shutil.which(command)
    if found is not None:
        return Path(found)
    advice = f"{command} is not installed: apt-get install {DEBIAN_PACKAGES[command]}"
    if os.environ.get("CI") == "true":
        pytest.fail(advice)
    pytest.skip(advice)
