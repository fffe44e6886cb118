"""Changes of the web configuration's files."""

import asyncio
import os
import ssl
from pathlib import Path

import pytest
import trustme
import uvloop
from structlog.testing import capture_logs

from exporter.core.regular_file import SeenFiles
from exporter.web.webconfig import web_config
from exporter.web.webconfig.gate import FollowingContext
from exporter.web.webconfig.web_config import FollowedWebConfig, WebConfig, read_web_config
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


def replace(path: Path, text: str, *, keep_time: bool = False) -> None:
    """Put another file in the place of a file, as editors and Kubernetes do."""
    new = path.with_suffix(".new")
    new.write_text(text)
    if keep_time:
        os.utime(new, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    new.replace(path)


async def settled(followed: FollowedWebConfig) -> WebConfig:
    """Return what is in force after two looks, as the daemon makes them every second."""
    await followed.look()
    await followed.look()
    return followed.current()


def certificate(context: ssl.SSLContext, authority: trustme.CA) -> bytes | None:
    """Return which certificate a client gets."""
    return shake_hands(context, client_context(authority)).certificate


async def test_a_change_counts_once_it_has_settled(file: Path) -> None:
    """Users that were added count from the look on that finds the file as the look before did; a reload needs none."""
    followed = FollowedWebConfig(file)
    assert followed.current() is await settled(followed)
    with capture_logs() as logs:
        for text in (f"basic_auth_users: {{alice: {HASH}}}\n", f"basic_auth_users: {{alice: {HASH}, bob: {HASH}}}\n"):
            replace(file, TLS + text)
            await followed.look()
            assert not followed.current().users
        await followed.look()
        assert followed.current().users == {b"alice": HASH, b"bob": HASH}
    assert [entry["event"] for entry in logs] == ["web configuration loaded again"]
    replace(file, f"{TLS}basic_auth_users: {{}}\n")
    assert await followed.load_again() == ()
    assert not followed.current().users
    replace(file, "unknown: 1\n")
    (mistake,) = await followed.load_again()
    assert mistake.startswith(f"{file}:1:1: unknown key unknown")


async def test_what_is_written_while_it_is_read_counts_later(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state that may be half of one and half of another is not taken."""
    followed = FollowedWebConfig(file)
    good = followed.current()

    def written_meanwhile(path: Path, seen: SeenFiles) -> WebConfig:
        config = read_web_config(path, seen)
        replace(path, TLS)
        return config

    monkeypatch.setattr(web_config, "read_web_config", written_meanwhile)
    replace(file, f"{TLS}basic_auth_users: {{alice: {HASH}}}\n")
    assert await settled(followed) is good
    replace(file, f"{TLS}basic_auth_users: {{alice: {HASH}}}\n")
    assert await followed.load_again() == ()
    assert followed.current().users, "a reload takes what it read"
    monkeypatch.undo()
    replace(file, f"{TLS}basic_auth_users: {{}}\n")
    assert not (await settled(followed)).users


PLAIN_USERS = f"basic_auth_users:\n  alice: {HASH}\n"
MUTUAL_SANS = (
    "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"
    "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n  client_allowed_sans: [a.example]\n"
)


@pytest.mark.parametrize(
    ("before", "after", "missing"),
    [
        (PLAIN_USERS, "", "the file is empty"),
        (PLAIN_USERS, "# all of it is commented out\n", "the file is empty"),
        (PLAIN_USERS, "basic_auth_users:\n", "basic_auth_users has no value"),
        (PLAIN_USERS, "basic_auth_users: null\n", "basic_auth_users has no value"),
        (PLAIN_USERS, "rate_limit: {interval: 1s, burst: 1}\n", "basic_auth_users is missing"),
        (PLAIN_USERS, "basic_auth_users: {}\n", None),
        (PLAIN_USERS, f"basic_auth_users: {{bob: {HASH}}}\n", None),
        (MUTUAL_SANS, TLS, "client_auth_type is missing"),
        (MUTUAL_SANS, MUTUAL_SANS.partition("  client_ca_file")[0], "client_allowed_sans and client_ca is missing"),
        (MUTUAL_SANS, MUTUAL_SANS.partition("  client_allowed_sans")[0], "client_allowed_sans is missing"),
        (MUTUAL_SANS, MUTUAL_SANS.partition(" [a.example]")[0], "client_allowed_sans has no value"),
        (MUTUAL_SANS, TLS.replace("}", ", client_auth_type: NoClientCert}"), None),
        (MUTUAL_SANS, MUTUAL_SANS.replace("[a.example]", "[b.example]"), None),
        (TLS, "basic_auth_users: {}\n", "switching TLS takes a restart"),
        ("basic_auth_users: {}\n", TLS, "switching TLS takes a restart"),
    ],
)
async def test_nobody_is_let_in_by_what_is_missing(
    file: Path, directory: Path, before: str, after: str, missing: str | None
) -> None:
    """Users and checks of certificates end only where the file says so, TLS never: else the last good state stays."""
    trustme.CA().cert_pem.write_to_path(directory / "ca.pem")
    replace(file, before)
    reports: list[bool] = []
    followed = FollowedWebConfig(file, reports.append)
    good = followed.current()
    replace(file, after)
    with capture_logs() as logs:
        is_kept = await settled(followed) is good
        assert await settled(followed) is followed.current()
    assert is_kept == (missing is not None)
    assert reports == [True, missing is None]
    assert [entry["log_level"] for entry in logs] == ["info" if missing is None else "error"]
    assert missing is None or missing in logs[0]["mistake"]
    replace(file, before)
    await settled(followed)
    assert reports[-1]


async def test_no_beginning_of_a_file_lets_anyone_in(file: Path) -> None:
    """Wherever a file is cut off, users and checks of certificates stay."""
    whole = f"{MUTUAL_SANS}{PLAIN_USERS}"
    replace(file, whole)
    followed = FollowedWebConfig(file)
    for length in range(len(whole)):
        replace(file, whole[:length])
        await followed.load_again()
        config = followed.current()
        assert config.users
        assert config.keys.tls_server_config.client_auth_type == "RequireAndVerifyClientCert"
        assert len(config.client_limits) == 2


async def test_a_change_of_the_same_size_counts(file: Path) -> None:
    """A file that takes the place of another is another one, whatever its size and time."""
    replace(file, "http_server_config: {headers: {X-XSS-Protection: 1}}\n")
    followed = FollowedWebConfig(file)
    replace(file, "http_server_config: {headers: {X-XSS-Protection: 2}}\n", keep_time=True)
    assert (await settled(followed)).headers == {"X-XSS-Protection": "2"}


async def test_half_of_a_pair_changes_nothing_until_the_other_half_comes(
    file: Path, directory: Path, authority: trustme.CA
) -> None:
    """Between the two files clients get the certificate from before, and the log says why, once."""
    followed = FollowedWebConfig(file)
    context = FollowingContext(followed)
    first = certificate(context, authority)
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(directory / "server.pem")
    with capture_logs() as logs:
        for _ in range(2):
            await settled(followed)
            assert certificate(context, authority) == first
    (entry,) = logs
    assert entry["log_level"] == "error"
    assert entry["mistake"].startswith(f"{file}:1:32: certificate and key can't be used (key values mismatch)")
    issued.private_key_pem.write_to_path(directory / "server.key")
    await settled(followed)
    assert certificate(context, authority) not in {None, first}


async def test_a_bad_file_keeps_the_last_good_one_and_is_said_once(file: Path) -> None:
    """Every mistake is logged when the file changed, not with every look; a good file ends it."""
    followed = FollowedWebConfig(file)
    good = followed.current()
    replace(file, "unknown: 1\nunknown_too: 2\n")
    with capture_logs() as logs:
        assert [await settled(followed) is good for _ in range(3)] == [True] * 3
    assert [entry["mistake"].partition(" unknown key")[0] for entry in logs] == [f"{file}:1:1:", f"{file}:2:1:"]
    replace(file, TLS)
    assert await settled(followed) is not good


async def test_a_file_that_went_away_keeps_the_last_state_until_it_is_back(file: Path, directory: Path) -> None:
    """A certificate that is missing for a moment, or the file itself, stops nothing."""
    followed = FollowedWebConfig(file)
    good = followed.current()
    (directory / "server.pem").rename(directory / "away.pem")
    assert await settled(followed) is good
    (directory / "away.pem").rename(directory / "server.pem")
    (directory / file.name).unlink()
    assert await settled(followed) is good
    replace(file, "basic_auth_users: {}\n")
    assert await settled(followed) is good
    replace(file, f"{TLS}http_server_config: {{http2: true}}\n")
    assert (await settled(followed)).keys.http_server_config.http2


async def test_an_authority_that_was_taken_away_vouches_for_nobody(
    file: Path, directory: Path, authority: trustme.CA
) -> None:
    """Clients of an authority that is no longer in the file are refused from then on."""
    replace(file, MUTUAL)
    followed = FollowedWebConfig(file)
    context = FollowingContext(followed)
    client = client_context(authority, authority.issue_cert("client"))
    shake_hands(context, client)
    trustme.CA().cert_pem.write_to_path(directory / "ca.pem")
    await settled(followed)
    with pytest.raises(ssl.SSLError):
        shake_hands(context, client)


async def test_kubernetes_swaps_a_link(file: Path, directory: Path, authority: trustme.CA) -> None:
    """A directory link that points elsewhere changes all files behind it at once."""
    for name in ("one", "two"):
        (directory / name).mkdir()
        write_pair(directory / name, "tls", authority.issue_cert("localhost"))
    (directory / "..data").symlink_to("one")
    replace(file, "tls_server_config: {cert_file: ..data/tls.pem, key_file: ..data/tls.key}\n")
    followed = FollowedWebConfig(file)
    context = FollowingContext(followed)
    first = certificate(context, authority)
    (directory / "..new").symlink_to("two")
    (directory / "..new").rename(directory / "..data")
    await settled(followed)
    assert certificate(context, authority) not in {None, first}


@pytest.mark.parametrize("loop_factory", ["asyncio", "uvloop"])
def test_event_loops_make_connections_by_the_context_of_the_moment(
    loop_factory: str, file: Path, directory: Path, authority: trustme.CA
) -> None:
    """Both event loops ask for each new connection, so that a listener need not be opened again."""

    async def seen() -> list[bytes | None]:
        followed = FollowedWebConfig(file)
        context = FollowingContext(followed)
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
                await settled(followed)
        return found

    factory = uvloop.new_event_loop if loop_factory == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        first, second = runner.run(seen())
    assert None not in {first, second}
    assert first != second
