"""One fetch for all callers, ahead of expiry; the old key is kept until it truly expires."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from exporter.aliyun.credentials import (
    PAUSE_AFTER_FETCH_SECONDS,
    RENEWAL_SECONDS,
    RETRY_SECONDS,
    Credentials,
    CredentialsSource,
    Fetch,
)
from exporter.aliyun.errors import ApiError
from exporter.config.secret import Secret
from exporter.state import State


@dataclass
class HandClock:
    """A clock that moves when it is told to."""

    time: float = 1_700_000_000.0

    def now(self) -> float:
        """Wall-clock seconds."""
        return self.time

    def monotonic(self) -> float:
        """The same, from another start."""
        return self.time - 1_600_000_000.0

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.time += seconds


@dataclass
class TokenService:
    """Hands out numbered tokens of a given life, or fails."""

    clock: HandClock
    life_seconds: float | None = 3600.0
    error: ApiError | None = None
    fetches: int = 0
    expiries: list[float] = field(default_factory=list)

    def fetch(self) -> Credentials:
        """Hand out the next token."""
        self.fetches += 1
        if self.error is not None:
            raise self.error
        return token(self.fetches, None if self.life_seconds is None else self.clock.time + self.life_seconds)

    def credentials_expiry(self, timestamp: float) -> None:
        """Remember what the source reports."""
        self.expiries.append(timestamp)


def token(number: int, expires_at: float | None) -> Credentials:
    """Return a numbered token."""
    return Credentials(
        access_key_id=f"id-{number}",
        access_key_secret=Secret(f"very-secret-{number}"),
        security_token=Secret(f"very-secret-token-{number}"),
        expires_at=expires_at,
    )


@pytest.fixture
def clock() -> HandClock:
    """Time in the test's hand."""
    return HandClock()


@pytest.fixture
def service(clock: HandClock) -> TokenService:
    """A token service."""
    return TokenService(clock)


@asynccontextmanager
async def source_of(service: TokenService, fetch: Fetch | None = None) -> AsyncIterator[CredentialsSource]:
    """Open a source of a service's tokens."""
    source = CredentialsSource(fetch or service.fetch, clock=service.clock, observer=service)
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
    assert service.expiries == [service.clock.time + 3600]


async def test_a_short_token_is_not_fetched_for_every_request(service: TokenService) -> None:
    """A token of 900 s is used, not renewed on each call."""
    service.life_seconds = 900
    async with source_of(service) as source:
        for _ in range(50):
            assert await settled(source) == "id-1"
            service.clock.time += 10
    assert service.fetches == 1


@pytest.mark.parametrize(("life_seconds", "renewed_after"), [(900, 675), (3600, 2700), (21600, 20700)])
async def test_a_token_is_renewed_ahead_of_its_expiry(
    service: TokenService, life_seconds: float, renewed_after: float
) -> None:
    """With a quarter of its life left, at most 15 minutes, a token is renewed while the old one still serves."""
    service.life_seconds = life_seconds
    async with source_of(service) as source:
        assert await settled(source) == "id-1"
        service.clock.time += renewed_after - 1
        assert await settled(source) == "id-1"
        service.clock.time += 2
        assert (await source.get()).access_key_id == "id-1"
        assert await settled(source) == "id-2"


async def test_nobody_waits_while_the_old_key_is_good(service: TokenService) -> None:
    """A renewal that hangs holds up no request before the old token's expiry."""
    release = threading.Event()
    service.life_seconds = 3600

    def fetch() -> Credentials:
        if service.fetches:
            release.wait(5)
        return service.fetch()

    async with source_of(service, fetch) as source:
        await source.get()
        service.clock.time += 3000
        async with asyncio.timeout(1):
            for _ in range(10):
                assert (await source.get()).access_key_id == "id-1"
        release.set()
        assert await settled(source) == "id-2"


async def test_a_failed_renewal_keeps_the_old_key_and_is_said_once(service: TokenService) -> None:
    """While the old token is good a failure is a warning at its begin and a word at its end, and no error."""
    async with source_of(service) as source:
        await source.get()
        service.clock.time += 2701
        service.error = ApiError(State.AUTH_ERROR, "no credentials to be had; tried the moon")
        with capture_logs() as logs:
            for _ in range(5):
                assert await settled(source) == "id-1"
                service.clock.time += RETRY_SECONDS + 1
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
        service.clock.time += 3600
        for _ in range(3):
            with pytest.raises(ApiError, match="tried the moon") as caught:
                await source.get()
            assert caught.value.state is State.AUTH_ERROR
        assert service.fetches == 2
        service.clock.time += PAUSE_AFTER_FETCH_SECONDS
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
    expires_at = service.clock.time + 3600

    def fetch() -> Credentials:
        service.fetches += 1
        return token(1, expires_at)

    async with source_of(service, fetch) as source:
        await source.get()
        for _ in range(3599):
            await settled(source)
            service.clock.time += 1
    assert 3 <= service.fetches <= 15
    assert service.expiries == [expires_at]


async def test_a_key_without_expiry_is_looked_at_again(service: TokenService) -> None:
    """Fixed keys may be rotated in their file: they are read anew every few minutes."""
    service.life_seconds = None
    async with source_of(service) as source:
        assert await settled(source) == "id-1"
        service.clock.time += RENEWAL_SECONDS
        assert await settled(source) == "id-2"
    assert service.expiries == []


async def test_a_refused_key_is_dropped_once(service: TokenService) -> None:
    """Of many requests that were refused with one key, one causes a fetch; a moment after a fetch none does."""
    async with source_of(service) as source:
        refused = await source.get()
        assert not source.invalidate(refused)
        service.clock.time += PAUSE_AFTER_FETCH_SECONDS
        assert all(source.invalidate(refused) for _ in range(10))
        renewed = await source.get()
        assert renewed.access_key_id == "id-2"
        assert source.invalidate(refused)
        assert await source.get() is renewed
    assert service.fetches == 2


async def test_a_source_that_hangs_is_left_to_its_thread(
    service: TokenService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetch beyond the deadline is an error; the thread is waited for again, not joined by a second one."""
    monkeypatch.setattr("exporter.aliyun.credentials.FETCH_DEADLINE_SECONDS", 0.05)
    release = threading.Event()

    def fetch() -> Credentials:
        release.wait(5)
        return service.fetch()

    async with source_of(service, fetch) as source:
        for _ in range(3):
            with pytest.raises(ApiError, match="can be reached"):
                await source.get()
            service.clock.time += PAUSE_AFTER_FETCH_SECONDS
        release.set()
        assert (await source.get()).access_key_id == "id-1"
    assert service.fetches == 1


async def test_a_caller_that_gives_up_disturbs_nobody(service: TokenService) -> None:
    """A cancelled caller does not cancel the fetch that others wait for."""
    release = threading.Event()

    def fetch() -> Credentials:
        release.wait(5)
        return service.fetch()

    async with source_of(service, fetch) as source:
        patient = asyncio.create_task(source.get())
        hasty = asyncio.create_task(source.get())
        await asyncio.sleep(0.01)
        hasty.cancel()
        release.set()
        assert (await patient).access_key_id == "id-1"
        with pytest.raises(asyncio.CancelledError):
            await hasty


@pytest.mark.parametrize("show", [repr, str, "{}".format])
def test_a_key_shows_nothing(show: Callable[[object], str]) -> None:
    """No way to print a key prints any of it."""
    assert "very-secret" not in show(token(1, 5.0))
    assert "id-1" not in show(token(1, 5.0))
