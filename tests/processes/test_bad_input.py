"""What a user meets who got something wrong: the exact exit code, and one line that says what and what to do."""

import asyncio
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from tests.support.configurations import account, write_configuration
from tests.support.fake_service import EMPTY_PAGE, serving
from tests.support.processes import ROOT, Programs

pytestmark = pytest.mark.processes

TEN_MISTAKES = """\
accounts:
- name: not a name
  endpoint: ftp://live.example.com
  requests_per_second: 500
  regoin: CN-Shanghai
  credentials: {access_key_id: id, access_key_secret: secret}
  apps: [{id: live main}, {id: ok, quota: {single: many}}, {id: ok}]
collection:
  interval: often
  interval: 10s
metrics: {buckets: {panes: [3, 2]}}
"""


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a service with two small apps."""
    with Programs(tmp_path_factory.mktemp("simulator")) as programs:
        yield programs.start_simulator("--apps=2", "--tasks=5", "--churn=0")[1]


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Return a port that refuses connections: it is taken and nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def unread(programs: Programs, entry: str) -> str:
    """Collect the apps of an account, none of which can be read; return what is said about that."""
    config = write_configuration(programs.directory, entry)
    done = programs.run_exporter("collect", f"--config.file={config}")
    assert done.code == 3
    return done.err


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"key_secret": "wrong"}, "auth_error: .*check access_key_secret"),
        ({"key_id": "wrong"}, "auth_error: .*check access_key_id"),
        ({"apps": ["nobodys"]}, "app_invalid: .*check the app's id"),
    ],
)
def test_what_the_service_refuses(changes: dict[str, Any], line: str, programs: Programs, simulator: str) -> None:
    """A wrong key and a wrong AppId are distinguished, each in one line that names what to check."""
    said = unread(programs, account(simulator, **changes))
    assert re.fullmatch(rf"production/[\w-]+: {line}.*\n", said), said


def test_a_closed_port(programs: Programs, closed_port: int) -> None:
    """Where nobody listens, the line names the address and the setting."""
    said = unread(programs, account(f"http://127.0.0.1:{closed_port}"))
    assert said == f"production/app-1: network_error: 127.0.0.1:{closed_port} refuses connections: check endpoint\n"


def test_a_response_that_is_no_json(programs: Programs) -> None:
    """An answer that is a web page is an invalid response, in one line without the page."""
    _, url = programs.start_simulator("--apps=1", "--fault=not_json")
    said = unread(programs, account(url))
    expected = r"production/app-1: invalid_response: the service's answer is no JSON: [^<>\n]*endpoint[^<>\n]*\n"
    assert re.fullmatch(expected, said), said


async def test_an_unknown_authority_and_then_a_known_one(programs: Programs) -> None:
    """A TLS endpoint of an unknown authority is refused with the setting that helps, and with it all is well."""
    authority = trustme.CA()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    ca_file = programs.directory / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    async with serving(EMPTY_PAGE, tls=tls) as service:
        said = await asyncio.to_thread(unread, programs, account(service.address))
        known = write_configuration(programs.directory, account(service.address, more="ca_file: ca.pem"))
        accepted = await asyncio.to_thread(programs.run_exporter, "collect", f"--config.file={known}")

    assert re.fullmatch(r"production/app-1: network_error: .*ca_file.*\n", said), said
    assert (accepted.code, accepted.err) == (0, "")
    assert re.search(r"production +app-1 +ok +0 +0", accepted.out)


@pytest.mark.parametrize("words", [["serve"], ["collect"], ["check-config"]])
def test_ten_mistakes_are_ten_lines(words: list[str], programs: Programs) -> None:
    """Every mistake of a file is reported together, each by its place; nothing is started and nothing else is said."""
    config = programs.directory / "rtcmpu.yml"
    config.write_text(TEN_MISTAKES)

    done = programs.run_exporter(*words, str(config) if words == ["check-config"] else f"--config.file={config}")

    lines = done.err.splitlines()
    assert (done.code, done.out) == (2, "")
    places = [re.fullmatch(rf"{re.escape(str(config))}:(\d+):\d+: .+ expected .+", line) for line in lines]
    assert [place and int(place[1]) for place in places] == [2, 3, 4, 5, 7, 7, 7, 9, 10, 11], done.err


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (["serve", "--app.id=a", "--web.listen-address={}"], "--web.listen-address"),
        (["demo", "--web.listen-address={}", "--simulator.listen-address=127.0.0.1:0"], "--web.listen-address"),
        (["demo", "--simulator.listen-address={}"], "--simulator.listen-address"),
        (["simulate", "--listen-address={}"], "--web.listen-address"),
    ],
)
def test_a_port_in_use(words: list[str], flag: str, programs: Programs) -> None:
    """A port that is taken is named, with the flag that chooses another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = programs.run_exporter(*(word.format(address) for word in words))

    assert done.code == 2
    expected = f"can't listen on {address}: Address already in use; stop what uses it or choose another {flag}\n"
    assert done.err == expected


def test_an_address_that_does_not_exist_yet(programs: Programs) -> None:
    """An address that no interface has, as early at boot, is no mistake: its exit code makes systemd start it again."""
    done = programs.run_exporter("serve", "--app.id=a", "--web.listen-address=192.0.2.1:10678")

    assert done.code == 69
    assert done.err.startswith("can't listen on 192.0.2.1:10678: Cannot assign requested address; start again when")
    unit = (ROOT / "deploy" / "systemd" / "rtcmpu-exporter.service").read_text()
    assert re.findall(r"^(?:Restart|RestartPreventExitStatus)=(.*)$", unit, re.MULTILINE) == ["on-failure", "2"]


def test_output_is_utf_8_whatever_the_locale(programs: Programs) -> None:
    """A locale without a character is no reason to leave it out, or to fail."""
    done = programs.run_exporter("simulate", "--help", env={"LC_ALL": "C", "PYTHONIOENCODING": "ascii"})

    assert (done.code, done.err) == (0, "")
    assert "number of apps, app-1 …" in done.out


def test_a_ca_file_without_certificates(programs: Programs) -> None:
    """A CA file that is none is a mistake of the configuration at its place, for the daemon and for check-config."""
    (programs.directory / "ca.pem").write_text("no certificate\n")
    config = write_configuration(programs.directory, account("https://127.0.0.1:1", more="ca_file: ca.pem"))

    for words in (["serve", "--web.listen-address=127.0.0.1:0"], ["check-config"]):
        done = programs.run_exporter(*words, f"--config.file={config}")
        assert done.code == 2
        assert re.fullmatch(r".*:\d+:\d+: ca_file .*ca\.pem' can't be used .*, expected a PEM .*\n", done.err), done.err


def test_no_credentials(programs: Programs, simulator: str) -> None:
    """Without any credentials the line says what was looked at; with those of the environment all is well."""
    words = ("collect", "--app.id=app-1", f"--api.endpoint={simulator}")

    without = programs.run_exporter(*words)
    key = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "simulator-key-id", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "simulator-key-secret"}
    with_key = programs.run_exporter(*words, env=key)

    assert without.code == 3
    assert re.fullmatch(r"default/app-1: auth_error: no credentials found; tried environment.*\n", without.err)
    assert (with_key.code, with_key.err) == (0, "")
