"""One fetch for all callers, before expiry; the old key is kept until it truly expires; fixed keys need no library."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from exporter.aliyun.credentials import (
    FETCH_DEADLINE_SECONDS,
    PAUSE_AFTER_FETCH_SECONDS,
    RENEWAL_SECONDS,
    RETRY_SECONDS,
    Credentials,
    CredentialsSource,
    Fetch,
    KeySource,
    key_source,
)
from exporter.aliyun.errors import ApiError
from exporter.config.model import AccessKey, DefaultChain
from exporter.core.collection_state import State
from exporter.core.secret import Secret, SecretFile
from tests.support.monitored import until
from tests.support.virtual_time import SetClock, leap


@dataclass
class TokenService:
    """Hands out numbered tokens of a given life, or fails."""

    clock: SetClock
    life_seconds: float | None = 3600.0
    error: ApiError | None = None
    fetches: int = 0
    expiries: list[float | None] = field(default_factory=list)

    def fetch(self) -> Credentials:
        self.fetches += 1
        if self.error is not None:
            raise self.error
        return token(self.fetches, None if self.life_seconds is None else self.clock.now() + self.life_seconds)

    def credentials_in_use(self, credentials: Credentials) -> None:
        self.expiries.append(credentials.expires_at)


def token(number: int, expires_at: float | None) -> Credentials:
    """Return a numbered token."""
    return Credentials(
        access_key_id=f"id-{number}",
        access_key_secret=Secret(f"very-secret-{number}"),
        security_token=Secret(f"very-secret-token-{number}"),
        expires_at=expires_at,
    )


@pytest.fixture
def clock() -> SetClock:
    """Time in the test's hand."""
    return SetClock(seconds=100_000.0)


@pytest.fixture
def service(clock: SetClock) -> TokenService:
    """A token service."""
    return TokenService(clock)


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """What hanging sources wait for."""
    event = threading.Event()
    yield event
    event.set()


def hanging(service: TokenService, release: threading.Event) -> Fetch:
    """Return a source that answers once it is released."""

    def fetch() -> Credentials:
        release.wait(60)
        return service.fetch()

    return fetch


@asynccontextmanager
async def source_of(
    service: TokenService, fetch: Fetch | None = None, key: KeySource | None = None
) -> AsyncIterator[CredentialsSource]:
    """Open a source of a service's tokens."""
    key = key or KeySource(fetch=fetch or service.fetch)
    source = CredentialsSource(key, clock=service.clock, in_use=service.credentials_in_use)
    try:
        yield source
    finally:
        await source.close()


async def settled(source: CredentialsSource) -> str:
    """Return the id of the key that is held once a renewal under way has ended."""
    await source.get()
    if source._renewal is not None:
        await source._renewal
    return (await source.get()).access_key_id


async def test_many_callers_share_one_fetch(service: TokenService) -> None:
    """However many ask at once, the key is fetched once."""
    async with source_of(service) as source:
        found = await asyncio.gather(*(source.get() for _ in range(100)))
    assert {key.access_key_id for key in found} == {"id-1"}
    assert service.fetches == 1
    assert service.expiries == [service.clock.now() + 3600]


@pytest.mark.parametrize(("life_seconds", "renewed_after"), [(900, 675), (3600, 2700), (21600, 20700)])
async def test_a_token_is_renewed_ahead_of_its_expiry(
    service: TokenService, life_seconds: float, renewed_after: float
) -> None:
    """With a quarter of its life left, at most 15 minutes, a token is renewed while the old one still serves."""
    service.life_seconds = life_seconds
    async with source_of(service) as source:
        assert await settled(source) == "id-1"
        service.clock.seconds += renewed_after - 1
        assert await settled(source) == "id-1"
        service.clock.seconds += 2
        assert (await source.get()).access_key_id == "id-1"
        assert await settled(source) == "id-2"


async def test_nobody_waits_while_the_old_key_is_good(service: TokenService, release: threading.Event) -> None:
    """A renewal that hangs holds up no request before the old token's expiry."""
    service.life_seconds = 3600

    def fetch() -> Credentials:
        if service.fetches:
            release.wait(60)
        return service.fetch()

    async with source_of(service, fetch) as source:
        await source.get()
        service.clock.seconds += 3000
        async with asyncio.timeout(30):
            for _ in range(10):
                assert (await source.get()).access_key_id == "id-1"
        release.set()
        assert await settled(source) == "id-2"


async def test_a_failed_renewal_keeps_the_old_key_and_is_said_once(service: TokenService) -> None:
    """While the old token is good a failure is a warning at its begin and a word at its end, and no error."""
    async with source_of(service) as source:
        await source.get()
        service.clock.seconds += 2701
        service.error = ApiError(State.AUTH_ERROR, "no credentials to be had; tried the moon")
        with capture_logs() as logs:
            for _ in range(5):
                assert await settled(source) == "id-1"
                service.clock.seconds += RETRY_SECONDS + 1
            service.error = None
            assert await settled(source) == "id-7"
    assert [log["log_level"] for log in logs] == ["warning", "info"]
    assert "tried the moon" in logs[0]["reason"]
    assert service.fetches == 7


async def test_an_expired_key_is_never_used(service: TokenService) -> None:
    """After the expiry the failure is raised, with its reason, until a fetch succeeds."""
    async with source_of(service) as source:
        await source.get()
        service.error = ApiError(State.AUTH_ERROR, "no credentials to be had; tried the moon")
        service.clock.seconds += 3600
        for _ in range(3):
            with pytest.raises(ApiError, match="tried the moon") as caught:
                await source.get()
            assert caught.value.state is State.AUTH_ERROR
        assert service.fetches == 2
        service.clock.seconds += PAUSE_AFTER_FETCH_SECONDS
        service.error = None
        assert (await source.get()).access_key_id == "id-3"


async def test_a_token_that_comes_expired_is_an_error(service: TokenService) -> None:
    """A source that hands out an expired token has none to give."""
    service.life_seconds = -1
    async with source_of(service) as source:
        with pytest.raises(ApiError, match="already expired"):
            await source.get()


async def test_the_same_token_again_is_not_fetched_in_a_loop(service: TokenService) -> None:
    """A source that does not renew yet is asked again at most once a minute."""
    expires_at = service.clock.now() + 3600

    def fetch() -> Credentials:
        service.fetches += 1
        return token(1, expires_at)

    async with source_of(service, fetch) as source:
        await source.get()
        for _ in range(3599):
            await settled(source)
            service.clock.seconds += 1
    assert 3 <= service.fetches <= 15
    assert service.expiries == [expires_at]


async def test_a_key_without_expiry_is_looked_at_again(service: TokenService) -> None:
    """Fixed keys may be rotated in their file: they are read again every few minutes."""
    service.life_seconds = None
    async with source_of(service) as source:
        assert await settled(source) == "id-1"
        service.clock.seconds += RENEWAL_SECONDS
        assert await settled(source) == "id-2"
    assert service.expiries == [None, None]


async def test_a_refused_key_is_dropped_once(service: TokenService) -> None:
    """Of many requests that were refused with one key, one causes a fetch; a moment after a fetch none does."""
    async with source_of(service) as source:
        refused = await source.get()
        assert not source.refused(refused)
        service.clock.seconds += PAUSE_AFTER_FETCH_SECONDS
        assert all(source.refused(refused) for _ in range(10))
        renewed = await source.get()
        assert renewed.access_key_id == "id-2"
        assert source.refused(refused)
        assert await source.get() is renewed
    assert service.fetches == 2


async def test_a_source_that_hangs_is_left_to_its_thread(
    service: TokenService, monkeypatch: pytest.MonkeyPatch, release: threading.Event
) -> None:
    """A fetch beyond the deadline is an error, at once from then on; its key is used when it comes."""
    async with source_of(service, hanging(service, release)) as source:
        with monkeypatch.context() as patch:
            patch.setattr("exporter.aliyun.credentials.FETCH_DEADLINE_SECONDS", 0.05)
            for _ in range(3):
                with pytest.raises(ApiError, match="can be reached"):
                    await source.get()
                service.clock.seconds += PAUSE_AFTER_FETCH_SECONDS
        release.set()
        assert source._renewal is not None
        await source._renewal
        assert (await source.get()).access_key_id == "id-1"
    assert service.fetches == 1


@pytest.mark.parametrize("is_constant", [True, False])
async def test_an_event_loop_that_was_held_does_not_make_a_key_late(service: TokenService, is_constant: bool) -> None:
    """A key that was there in time is used, even if the loop sees it only after the deadline; a constant has none."""
    held = threading.Event()

    def fetch() -> Credentials:
        held.wait(60)
        return service.fetch()

    if is_constant:
        held.set()
    async with source_of(service, key=KeySource(fetch=fetch, is_constant=is_constant)) as source:
        asked = asyncio.create_task(source.get())
        await until(lambda: is_constant or _fetching())
        held.set()
        for thread in _fetching():
            thread.join()  # it holds the loop
        leap(FETCH_DEADLINE_SECONDS)
        assert (await asked).access_key_id == "id-1"


def _fetching() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "fetch credentials"]


async def test_a_caller_that_gives_up_disturbs_nobody(service: TokenService, release: threading.Event) -> None:
    """A cancelled caller does not cancel the fetch that others wait for."""
    async with source_of(service, hanging(service, release)) as source:
        patient = asyncio.create_task(source.get())
        hasty = asyncio.create_task(source.get())
        await asyncio.sleep(0.01)
        hasty.cancel()
        release.set()
        assert (await patient).access_key_id == "id-1"
        with pytest.raises(asyncio.CancelledError):
            await hasty


@pytest.mark.parametrize("seconds", [0.01, 0])
async def test_closing_ends_what_waits_for_a_thread(
    service: TokenService, release: threading.Event, seconds: float
) -> None:
    """Callers get an error, and no task is left, though the thread hangs or was not started yet."""
    async with source_of(service, hanging(service, release)) as source:
        waiting = asyncio.create_task(source.get())
        await asyncio.sleep(seconds)
    with pytest.raises(ApiError):
        await asyncio.wait_for(waiting, timeout=5)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


class Vanished(BaseException):
    """Not even an Exception."""


@pytest.mark.parametrize("error", [RuntimeError("very-secret"), KeyError("very-secret"), Vanished()])
async def test_a_source_that_raises_anything_is_asked_again(service: TokenService, error: BaseException) -> None:
    """Whatever a provider raises is an auth_error without its text; the key is fetched again after the pause."""
    failures = [error]

    def fetch() -> Credentials:
        if failures:
            raise failures.pop()
        return service.fetch()

    async with source_of(service, fetch) as source:
        with pytest.raises(ApiError, match=type(error).__name__) as caught:
            await source.get()
        assert caught.value.state is State.AUTH_ERROR
        assert "very-secret" not in str(caught.value)
        service.clock.seconds += PAUSE_AFTER_FETCH_SECONDS
        assert (await source.get()).access_key_id == "id-1"


async def test_an_observer_that_fails_does_not_stop_fetching(service: TokenService) -> None:
    """Nor does a fault of our own."""

    def failing(_credentials: Credentials) -> None:
        raise RuntimeError

    service.life_seconds = None
    source = CredentialsSource(KeySource(fetch=service.fetch), clock=service.clock, in_use=failing)
    assert (await source.get()).access_key_id == "id-1"
    service.clock.seconds += RENEWAL_SECONDS
    assert await settled(source) == "id-2"
    await source.close()


async def test_hung_sources_hold_up_no_other_source(service: TokenService, release: threading.Event) -> None:
    """Each source has a thread of its own, one at most."""
    async with AsyncExitStack() as stack:
        hung = [await stack.enter_async_context(source_of(service, hanging(service, release))) for _ in range(40)]
        waiting = [asyncio.create_task(source.get()) for source in hung for _ in range(3)]
        await asyncio.sleep(0)
        healthy = await stack.enter_async_context(source_of(service))
        async with asyncio.timeout(30):
            assert (await healthy.get()).access_key_id == "id-1"
        threads = _fetching()
        assert len(threads) <= len(hung) + 1
        assert all(thread.daemon for thread in threads)
        release.set()
        await asyncio.gather(*waiting)


async def test_the_request_after_a_change_is_signed_with_the_new_secret(service: TokenService, tmp_path: Path) -> None:
    """A changed file is read before the next request; while it is missing or empty the key before it stays."""
    path = tmp_path / "secret"
    path.write_text("first")
    key = key_source(AccessKey(access_key_id="id", access_key_secret=SecretFile(path)))
    async with source_of(service, key=key) as source:
        for content, secret in [("first", "first"), ("second", "second"), ("", "second"), ("third\n", "third")]:
            path.write_text(content)
            found = await asyncio.gather(*(source.get() for _ in range(3)))
            assert {one.access_key_secret for one in found} == {Secret(secret)}
        path.unlink()
        assert (await source.get()).access_key_secret == Secret("third")
        path.write_text("fourth")
        assert (await source.get()).access_key_secret == Secret("fourth")


async def test_a_refusal_of_a_key_whose_file_has_changed_is_tried_again(service: TokenService, tmp_path: Path) -> None:
    """Also a moment after the last fetch: a refused key is worth another attempt once its file has another one."""
    path = tmp_path / "secret"
    path.write_text("first")
    key = key_source(AccessKey(access_key_id="id", access_key_secret=SecretFile(path)))
    async with source_of(service, key=key) as source:
        first = await source.get()
        assert not source.refused(first)
        path.write_text("second")
        assert source.refused(first)
        reading = asyncio.create_task(source.get())
        await asyncio.sleep(0)
        assert source.refused(first)
        assert (await reading).access_key_secret == Secret("second")
        assert not source.refused(await source.get())


async def test_a_file_that_hangs_delays_no_request_for_long(
    service: TokenService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: threading.Event
) -> None:
    """A changed file that can't be read in time leaves the key before it in use, and is waited for once."""
    monkeypatch.setattr("exporter.aliyun.credentials.FILE_DEADLINE_SECONDS", 0.05)
    path = tmp_path / "secret"
    service.life_seconds = None

    def fetch() -> Credentials:
        if service.fetches:
            release.wait(60)
        return service.fetch()

    async with source_of(service, key=KeySource(fetch=fetch, files=(path,))) as source:
        await source.get()
        path.write_text("changed")
        async with asyncio.timeout(10):
            for _ in range(400):
                assert (await source.get()).access_key_id == "id-1"
        release.set()
        assert await settled(source) == "id-2"


async def test_a_refusal_and_a_reload_choose_the_source_again(service: TokenService) -> None:
    """A constant key is not asked for again in vain."""
    started_over: list[int] = []
    key = KeySource(fetch=service.fetch, start_over=lambda: started_over.append(service.fetches))
    async with source_of(service, key=key) as source:
        refused = await source.get()
        service.clock.seconds += PAUSE_AFTER_FETCH_SECONDS
        assert source.refused(refused)
        assert (await source.get()).access_key_id == "id-2"
        source.reread()
        assert await settled(source) == "id-3"
    assert started_over == [1, 2]
    async with source_of(service, key=KeySource(fetch=service.fetch, is_constant=True)) as constant:
        refused = await constant.get()
        service.clock.seconds += PAUSE_AFTER_FETCH_SECONDS
        assert not constant.refused(refused)
        assert await constant.get() is refused


@pytest.mark.parametrize("show", [repr, str, "{}".format])
def test_a_key_shows_nothing(show: Callable[[object], str]) -> None:
    """No way to print a key prints any of it."""
    assert "very-secret" not in show(token(1, 5.0))
    assert "id-1" not in show(token(1, 5.0))


def test_a_fixed_key_is_what_stands_in_the_configuration() -> None:
    """Id, secret and token come as they were configured, without an expiry."""
    key = key_source(AccessKey(access_key_id="id", access_key_secret=Secret("s"), security_token=Secret("t"))).fetch()
    assert (key.access_key_id, key.access_key_secret, key.security_token) == ("id", Secret("s"), Secret("t"))
    assert key.expires_at is None


@pytest.mark.parametrize(("content", "reason"), [(None, "cannot be read"), (b"", "is empty"), (b"\xff", "not UTF-8")])
def test_an_unusable_secret_file_is_named(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """A file that is missing, empty or no text is an auth_error that says which setting it is."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ApiError, match=reason) as caught:
        key_source(AccessKey(access_key_id="id", access_key_secret=SecretFile(path))).fetch()
    assert caught.value.state is State.AUTH_ERROR
    assert "access_key_secret" in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        (("id", None, None), "ALIBABA_CLOUD_ACCESS_KEY_SECRET is empty"),
        ((None, "hunter2", None), "ALIBABA_CLOUD_ACCESS_KEY_ID is empty"),
        ((" \ufeffid\n", "hun ter2", None), "ALIBABA_CLOUD_ACCESS_KEY_SECRET is not usable"),
        (("i\nd", "hunter2", None), "ALIBABA_CLOUD_ACCESS_KEY_ID is not usable"),
        (("id", "hunter2", "hunter\u00e9"), "ALIBABA_CLOUD_SECURITY_TOKEN is not usable"),
        ((" \ufeffid\r\n", "\tsecret ", " "), None),
        (("id", "secret", None), None),
        (("id", "secret", "t"), None),
    ],
)
def test_a_key_of_the_environment_is_whole_and_can_be_sent(
    variables: tuple[str | None, ...], reason: str | None
) -> None:
    """White space around it is no part of it; half a key, or one that is no key, is named and never replaced."""
    names = ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN")
    environment = {name: value for name, value in zip(names, variables, strict=True) if value is not None}
    source = key_source(DefaultChain(), environment=environment)
    if reason is None:
        key = source.fetch()
        token = Secret("t") if variables[2] == "t" else None
        assert (key.access_key_id, key.access_key_secret, key.security_token) == ("id", Secret("secret"), token)
        return
    with pytest.raises(ApiError, match=reason) as caught:
        source.fetch()
    assert "hun" not in str(caught.value)


@pytest.mark.processes
def test_fixed_keys_do_not_import_the_official_library() -> None:
    """Neither importing the client nor fetching a fixed key loads the official library."""
    program = """
import sys
import exporter.aliyun.client
from exporter.aliyun.credentials import key_source
from exporter.config.model import AccessKey, DefaultChain
from exporter.core.secret import Secret
key_source(AccessKey(access_key_id="id", access_key_secret=Secret("s"))).fetch()
key = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "id", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "s"}
key_source(DefaultChain(), environment=key).fetch()
print([name for name in sys.modules if name.partition(".")[0] in {"alibabacloud_credentials", "Tea", "requests"}])
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert result.stdout.strip() == "[]"
