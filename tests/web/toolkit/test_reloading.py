"""Following a file: changes count at once, bad ones not at all."""

import asyncio
import os
import ssl
from pathlib import Path

import pytest
import trustme
import uvloop
from structlog.testing import capture_logs

from exporter.config.mistakes import ConfigError
from exporter.web.toolkit.reloading import FollowedWebConfig, FollowingContext
from tests.support.certificates import HASH, client_context, shake_hands, write_pair

TLS = "tls_server_config: {cert_file: server.pem, key_file: server.key}\n"
MUTUAL = (
    "tls_server_config: {cert_file: server.pem, key_file: server.key, client_ca_file: ca.pem,"
    " client_auth_type: RequireAndVerifyClientCert}\n"
)


@pytest.fixture
def file(directory: Path) -> Path:
    """A file that asks for TLS."""
    path = directory / "web.yml"
    path.write_text(TLS)
    return path


def replace(path: Path, text: str) -> None:
    """Put another file in the place of a file, as editors and Kubernetes do."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def certificate(context: ssl.SSLContext, authority: trustme.CA) -> bytes | None:
    """Return which certificate a client gets."""
    return shake_hands(context, client_context(authority)).certificate


def test_a_bad_file_at_the_start_is_an_error(file: Path) -> None:
    """There is no good state to keep."""
    file.write_text("unknown: 1\n")
    with pytest.raises(ConfigError):
        FollowedWebConfig(file)


def test_nothing_is_read_again_without_a_change(file: Path) -> None:
    """The same state is handed out as long as the files are the same."""
    followed = FollowedWebConfig(file)
    assert followed.current() is followed.current()


def test_a_change_counts_at_once(file: Path) -> None:
    """Users that were added are there for the next request, without a signal."""
    followed = FollowedWebConfig(file)
    file.write_text(f"{TLS}basic_auth_users: {{alice: {HASH}}}\n")
    with capture_logs() as logs:
        assert followed.current().users == {b"alice": HASH}
    assert [entry["event"] for entry in logs] == ["web configuration loaded again"]


def test_a_change_of_the_same_size_counts(file: Path) -> None:
    """A file that takes the place of another is another one, whatever its size and time."""
    file.write_text("http_server_config: {headers: {X-XSS-Protection: 1}}\n")
    followed = FollowedWebConfig(file)
    before = file.stat()
    replace(file, "http_server_config: {headers: {X-XSS-Protection: 2}}\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert followed.current().headers == {"X-XSS-Protection": "2"}


def test_new_certificates_are_for_new_connections(file: Path, directory: Path, authority: trustme.CA) -> None:
    """A certificate that was replaced on disk is what the next client gets."""
    context = FollowingContext(FollowedWebConfig(file))
    first = certificate(context, authority)
    write_pair(directory, "server", authority.issue_cert("localhost"))
    assert certificate(context, authority) not in {None, first}


def test_half_of_a_pair_changes_nothing_until_the_other_half_comes(
    file: Path, directory: Path, authority: trustme.CA
) -> None:
    """Between the two files clients get the certificate from before, and the log says why, once."""
    context = FollowingContext(FollowedWebConfig(file))
    first = certificate(context, authority)
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(directory / "server.pem")
    with capture_logs() as logs:
        assert certificate(context, authority) == first
        assert certificate(context, authority) == first
    (entry,) = logs
    assert entry["log_level"] == "warning"
    assert entry["mistake"].startswith(f"{file}:1:32: certificate and key can't be used (key values mismatch)")
    issued.private_key_pem.write_to_path(directory / "server.key")
    assert certificate(context, authority) not in {None, first}


def test_a_bad_file_keeps_the_last_good_one_and_is_said_once(file: Path) -> None:
    """Every mistake is logged when the file changed, not with every request; a good file ends it."""
    followed = FollowedWebConfig(file)
    good = followed.current()
    replace(file, "unknown: 1\nunknown_too: 2\n")
    with capture_logs() as logs:
        assert all(followed.current() is good for _ in range(3))
    assert [entry["mistake"].partition(" unknown key")[0] for entry in logs] == [f"{file}:1:1:", f"{file}:2:1:"]
    replace(file, TLS)
    assert followed.current() is not good


def test_a_file_that_went_away_keeps_the_last_state_until_it_is_back(file: Path, directory: Path) -> None:
    """A certificate that is missing for a moment, or the file itself, stops nothing."""
    followed = FollowedWebConfig(file)
    good = followed.current()
    (directory / "server.pem").rename(directory / "away.pem")
    assert followed.current() is good
    (directory / "away.pem").rename(directory / "server.pem")
    file.unlink()
    assert followed.current() is good
    file.write_text("")
    assert followed.current() is good
    file.write_text(f"{TLS}http_server_config: {{http2: true}}\n")
    assert followed.current().asks_for_http2


@pytest.mark.parametrize(("before", "after"), [(TLS, ""), ("", TLS)])
def test_tls_is_not_switched_while_it_runs(before: str, after: str, file: Path) -> None:
    """A listener speaks TLS or does not; the other takes a restart, and the log says so."""
    file.write_text(before)
    followed = FollowedWebConfig(file)
    good = followed.current()
    replace(file, after)
    with capture_logs() as logs:
        assert followed.current() is good
    assert [entry["mistake"] for entry in logs] == ["switching TLS takes a restart"]


def test_an_authority_that_was_taken_away_vouches_for_nobody(
    file: Path, directory: Path, authority: trustme.CA
) -> None:
    """Clients of an authority that is no longer in the file are refused from then on."""
    file.write_text(MUTUAL)
    context = FollowingContext(FollowedWebConfig(file))
    client = client_context(authority, authority.issue_cert("client"))
    shake_hands(context, client)
    trustme.CA().cert_pem.write_to_path(directory / "ca.pem")
    with pytest.raises(ssl.SSLError):
        shake_hands(context, client)


def test_kubernetes_swaps_a_link(file: Path, directory: Path, authority: trustme.CA) -> None:
    """A directory link that points elsewhere changes all files behind it at once."""
    for name in ("one", "two"):
        (directory / name).mkdir()
        write_pair(directory / name, "tls", authority.issue_cert("localhost"))
    (directory / "..data").symlink_to("one")
    file.write_text("tls_server_config: {cert_file: ..data/tls.pem, key_file: ..data/tls.key}\n")
    context = FollowingContext(FollowedWebConfig(file))
    first = certificate(context, authority)
    (directory / "..new").symlink_to("two")
    (directory / "..new").rename(directory / "..data")
    assert certificate(context, authority) not in {None, first}


@pytest.mark.parametrize("loop_factory", ["asyncio", "uvloop"])
def test_event_loops_make_connections_by_the_context_of_the_moment(
    loop_factory: str, file: Path, directory: Path, authority: trustme.CA
) -> None:
    """Both event loops ask for each new connection, so that a listener need not be opened again."""

    async def seen() -> list[bytes | None]:
        context = FollowingContext(FollowedWebConfig(file))
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        found = []
        async with server:
            for _ in range(2):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=client_context(authority), server_hostname="localhost"
                )
                found.append(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
                await reader.read()
                writer.close()
                write_pair(directory, "server", authority.issue_cert("localhost"))
        return found

    factory = uvloop.new_event_loop if loop_factory == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        first, second = runner.run(seen())
    assert None not in {first, second}
    assert first != second
