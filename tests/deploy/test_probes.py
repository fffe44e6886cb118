"""Tests of a pod of the chart as far as it can run here: the program with the container's arguments and files."""

import ssl
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

import pytest
import trustme

from exporter.simulator.simulation import ACCESS_KEY_ID, ACCESS_KEY_SECRET
from tests.deploy.dockerfile import check_health
from tests.deploy.manifests import Manifest, ci_values, exporter_of, named_file, objects_of, write_mounts
from tests.support.processes import Programs, eventually

pytestmark = pytest.mark.processes

FILE_FLAGS = ("--config.file", "--web.config.file")


def test_probes_are_answered(tmp_path: Path) -> None:
    """With TLS and a password set up, the pages that Kubernetes asks answer, and the metrics want the password.

    So does the image's own health check.
    """
    authority = trustme.CA()
    with Programs(tmp_path) as programs:
        _, endpoint = programs.start_simulator("--apps=1", "--tasks=20")
        found = [*_objects(endpoint), _certificate(authority)]
        write_mounts(found, tmp_path / "container")
        running = programs.start_exporter(*_arguments(found, tmp_path / "container"))
        port = running.wait_for(r"listening.*127\.0\.0\.1:(\d+)")[1]
        context = ssl.create_default_context()
        authority.configure_trust(context)

        def status(path: str) -> int:
            try:
                with urllib.request.urlopen(f"https://localhost:{port}{path}", context=context, timeout=30) as answer:
                    return int(answer.status)
            except HTTPError as error:
                with error:
                    return error.code

        for name in ("livenessProbe", "readinessProbe"):
            asked = exporter_of(found)[name]["httpGet"]
            assert asked["scheme"] == "HTTPS"

            def is_fine(path: str = asked["path"]) -> None:
                assert status(path) == 200

            eventually(is_fine)
        assert status("/metrics") == 401
        assert check_health(int(port)) == 0


def _objects(endpoint: str) -> list[Manifest]:
    """Return the example with TLS, on the simulated service."""
    values = ci_values("web-tls")
    (account,) = values["config"]["accounts"]
    account |= {"endpoint": endpoint, "apps": [{"id": "app-1"}]}
    account["credentials"] = {"access_key_id": ACCESS_KEY_ID, "access_key_secret": ACCESS_KEY_SECRET}
    values["config"]["collection"] = {"interval": "200ms", "sweep_interval": "1s"}
    values["config"]["storage"] = None
    return list(objects_of(values))


def _certificate(authority: trustme.CA) -> Manifest:
    certificate = authority.issue_cert("localhost")
    data = {
        "tls.crt": certificate.cert_chain_pems[0].bytes().decode(),
        "tls.key": certificate.private_key_pem.bytes().decode(),
    }
    return {"kind": "Secret", "metadata": {"name": "rtcmpu-exporter-tls"}, "stringData": data}


def _arguments(manifests: list[Manifest], root: Path) -> list[str]:
    """Return the container's arguments with its files below `root`, and a free port."""
    arguments = [word for word in exporter_of(manifests)["args"] if not word.startswith(FILE_FLAGS)]
    files = [f"{flag}={named_file(manifests, flag, root)}" for flag in FILE_FLAGS]
    return [*arguments, *files, "--web.listen-address=127.0.0.1:0"]
