"""Tests of the units: systemd takes them, they confine the program, and they fit it."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Final

import pytest

from exporter.commands import ExitCode
from exporter.service.daemon import BEAT_SECONDS, DRAIN_SECONDS
from tests.deploy.unit_file import ENVIRONMENT, SERVICE, SOCKET, UNITS, environment, setting, settings
from tests.support.command_line import parsed
from tests.support.processes import needed_tool

MOST_EXPOSURE: Final = 11  # tenths of systemd's 0 (none) to 10; what is left is that the program needs the network
INSTALLED: Final = "/opt/rtcmpu-exporter/bin/rtcmpu-exporter"
CONFIGURATION: Final = UNITS / "rtcmpu.yml"


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze."""
    return subprocess.run(
        [needed_tool("systemd-analyze"), *words], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.processes
def test_systemd_finds_no_mistake_in_the_units(tmp_path: Path) -> None:
    """The verifier says nothing at all about the service and its socket, once the program is where they look for it."""
    for unit in (SERVICE, SOCKET):
        (tmp_path / unit.name).write_text(unit.read_text().replace(INSTALLED, "/bin/true"))
    done = analyze("verify", "--man=no", tmp_path / SERVICE.name, tmp_path / SOCKET.name)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.processes
def test_a_mistake_would_be_found(tmp_path: Path) -> None:
    """The verifier complains about a setting that it does not know."""
    unit = tmp_path / SERVICE.name
    unit.write_text(SERVICE.read_text().replace(INSTALLED, "/bin/true").replace("WatchdogSec=", "WatchDogSec="))
    assert "WatchDogSec" in analyze("verify", "--man=no", unit).stderr


@pytest.mark.processes
def test_the_service_is_hardly_exposed() -> None:
    """Systemd's own rating of what a service could do stays below a low bound."""
    done = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSURE}", SERVICE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_service_keeps_what_the_program_needs() -> None:
    """The whole of /proc stays, for process_* metrics; sockets of IP and of the manager; no call is killed for."""
    set_here = settings(SERVICE)
    assert "ProcSubset" not in set_here
    assert set(setting(SERVICE, "RestrictAddressFamilies").split()) == {"AF_INET", "AF_INET6", "AF_UNIX"}
    assert setting(SERVICE, "SystemCallErrorNumber") == "EPERM"
    assert set_here["SystemCallFilter"][0] == "@system-service"


def test_the_times_fit_the_program() -> None:
    """The watchdog waits for many signs of life, and stopping is given more time than draining takes."""
    assert setting(SERVICE, "Type") == "notify"
    assert float(setting(SERVICE, "WatchdogSec")) >= 10 * BEAT_SECONDS
    assert float(setting(SERVICE, "TimeoutStopSec")) >= 2 * DRAIN_SECONDS
    assert setting(SERVICE, "ExecReload") == "/bin/kill -HUP $MAINPID"
    assert setting(SERVICE, "Restart") == "on-failure"
    assert int(setting(SERVICE, "RestartPreventExitStatus")) == ExitCode.USAGE


@pytest.mark.parametrize("further", ["", "--web.systemd-socket"])
def test_the_program_understands_how_it_is_started(further: str) -> None:
    """The command line of the unit is one of the program's, with and without what the environment file suggests."""
    program, *words = shlex.split(setting(SERVICE, "ExecStart").replace("$RTCMPU_EXPORTER_ARGS", further))
    assert program == INSTALLED
    options = parsed(words)
    assert options["config_file"] == Path("/etc/rtcmpu-exporter/rtcmpu.yml")
    assert options["systemd_socket"] == bool(further)


def test_the_socket_is_where_the_program_listens() -> None:
    """With and without the socket unit, metrics are on the same port; the program accepts the connections itself."""
    assert setting(SOCKET, "ListenStream") == "10678"
    assert setting(SOCKET, "Accept") == "no"


def test_the_environment_file_has_what_unit_and_configuration_refer_to() -> None:
    """Whatever is as $NAME in the unit or as ${NAME} in its configuration is in the file, or comes from systemd."""
    referred = set(re.findall(r"\$\{?([A-Z_]+)", setting(SERVICE, "ExecStart") + CONFIGURATION.read_text()))
    assert referred == set(environment(ENVIRONMENT)) | {"CREDENTIALS_DIRECTORY"}
    assert setting(SERVICE, "EnvironmentFile") == "-/etc/default/rtcmpu-exporter"
    assert '# RTCMPU_EXPORTER_ARGS="--web.systemd-socket"' in ENVIRONMENT.read_text()


def test_credential_and_state_are_where_the_configuration_looks() -> None:
    """The credential's name and the state directory are those that the configuration beside the unit has."""
    name, _, path = setting(SERVICE, "LoadCredential").partition(":")
    text = CONFIGURATION.read_text()
    assert f"access_key_secret_file: ${{CREDENTIALS_DIRECTORY}}/{name} " in text
    assert path == f"/etc/rtcmpu-exporter/{name}"
    assert f"url: sqlite:/var/lib/{setting(SERVICE, 'StateDirectory')}/" in text
