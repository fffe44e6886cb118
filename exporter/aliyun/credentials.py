"""An account's key, fetched once for all callers, in a thread, ahead of its expiry, and kept until it truly expires."""

import asyncio
import os
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
from msgspec import Struct

from exporter.aliyun.errors import ApiError
from exporter.config import model
from exporter.core.clock import Clock
from exporter.core.collection_state import State
from exporter.core.regular_file import file_signature
from exporter.core.secret import KEY_PATTERN, Secret, SecretFile, stripped
from exporter.core.threads import Worker

FETCH_DEADLINE_SECONDS: Final = 20.0
FILE_DEADLINE_SECONDS: Final = 1.0
"""How long requests wait for a file that has changed before they are signed with the key before it."""
PAUSE_AFTER_FETCH_SECONDS: Final = 10.0
"""The least time between two fetches, so that a dead token service is not hammered."""
RENEWAL_SECONDS: Final = 300.0
"""How often a key without a known expiry is fetched again, beside every change of its files."""
RENEWAL_SHARE: Final = 0.25
"""A token is renewed when this share of its life is left, at most `MAX_RENEWAL_LEAD_SECONDS` ahead."""
MAX_RENEWAL_LEAD_SECONDS: Final = 900.0
RETRY_SECONDS: Final = 60.0
"""How long after a failed renewal, or one that brought the same token again, the next one follows."""

_log = structlog.get_logger()


class Credentials(Struct, frozen=True, kw_only=True):
    """A key that signs requests."""

    access_key_id: str
    access_key_secret: Secret
    security_token: Secret | None = None  # present for temporary keys
    expires_at: float | None = None  # Wall-clock seconds; None: never, or not known
    source: str = ""  # the kind of source that it came from, as the metric has it

    def __repr__(self) -> str:
        """Show nothing of the key."""
        return f"Credentials(expires_at={self.expires_at})"


Fetch = Callable[[], Credentials]
"""Fetches a key, blocking. Raises ApiError (auth_error) with a sentence that says what was tried."""


def checked_key(
    source: str,
    access_key_id: str,
    access_key_secret: str,
    security_token: str | None,
    *,
    names: tuple[str, str, str] = ("access_key_id", "access_key_secret", "security_token"),
    expires_at: float | None = None,
) -> Credentials:
    """Return a key without white space; raises ApiError (auth_error) with the part's name, never its value."""
    parts = [stripped(part) for part in (access_key_id, access_key_secret, security_token or "")]
    for name, part in zip(names, parts, strict=True):
        if not part and name != names[2]:
            raise ApiError(State.AUTH_ERROR, f"{name} is empty: check the configuration")
        if part and not re.fullmatch(KEY_PATTERN, part):
            raise ApiError(
                State.AUTH_ERROR, f"{name} is not usable, expected printable ASCII without spaces: was it copied whole?"
            )
    return Credentials(
        access_key_id=parts[0],
        access_key_secret=Secret(parts[1]),
        security_token=Secret(parts[2]) if parts[2] else None,
        expires_at=expires_at,
        source=source,
    )


class KeySource(Struct, frozen=True, kw_only=True):
    """Where one account's key comes from."""

    fetch: Fetch
    files: tuple[Path, ...] = ()
    """A change of any of them may bring another key: it is fetched again before the next request."""
    is_constant: bool = False  # every fetch brings the same key
    start_over: Callable[[], None] = lambda: None  # make the next fetch choose among the sources again


class CredentialsSource:
    """One account's key, fetched once for all requests; `in_use` is called with each key that signs from then on."""

    def __init__(self, source: KeySource, *, clock: Clock, in_use: Callable[[Credentials], None]) -> None:
        self._source = source
        self._clock = clock
        self._in_use = in_use
        self._held: Credentials | None = None
        self._renew_at = 0.0
        self._error: ApiError | None = None
        self._fetched_at: float | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._answered = asyncio.Event()  # whether the last fetch has brought a key or an error
        self._worker = Worker("fetch credentials")
        self._seen = self._signatures()
        self._follows_files = False

    async def get(self) -> Credentials:
        """Return a key that is good now, at once unless there is none or a file has changed; raises ApiError."""
        if self._renewal is None:
            has_changed = self._signatures() != self._seen
            is_due = self._good() is None or self._clock.now() >= self._renew_at
            if has_changed or (is_due and not self._pausing()):
                self._follows_files = has_changed
                self._answered.clear()
                self._renewal = asyncio.create_task(self._renew())
        if self._follows_files and self._renewal is not None:
            await asyncio.wait([self._renewal], timeout=FILE_DEADLINE_SECONDS)
            self._follows_files = False
        if self._good() is None:
            await self._answered.wait()
        if (held := self._good()) is None:
            raise self._failure()
        return held

    def refused(self, credentials: Credentials) -> bool:
        """Drop a key that the service refused, choose its source again, and return whether the next `get` may differ.

        It does not where the key was fetched a moment ago and its files have not changed since.
        """
        if credentials != self._held:
            return True
        if self._source.is_constant:
            return False
        if self._pausing():
            return self._renewal is not None or self._signatures() != self._seen
        self._held = None
        self._source.start_over()
        return True

    def reread(self) -> None:
        """Fetch the key again at the next request, and choose its source again."""
        self._source.start_over()
        self._renew_at = 0.0
        self._fetched_at = None

    async def close(self) -> None:
        """Stop a running renewal; a thread that still waits for an answer ends by its own deadlines."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
            self._answered.set()  # a renewal that had not begun says nothing

    def _signatures(self) -> list[object]:
        return [file_signature(path) for path in self._source.files]

    def _good(self) -> Credentials | None:
        held = self._held
        if held is None or (held.expires_at is not None and self._clock.now() >= held.expires_at):
            return None
        return held

    def _pausing(self) -> bool:
        last = self._fetched_at
        return last is not None and self._clock.monotonic() - last < PAUSE_AFTER_FETCH_SECONDS

    def _failure(self) -> ApiError:
        """Return the reason why there is no key, as a new exception: one that is raised twice grows its traceback."""
        reason = self._error.reason if self._error else "the key that was fetched has already expired"
        return ApiError(State.AUTH_ERROR, reason)

    async def _renew(self) -> None:
        try:
            self._seen = self._signatures()
            outcome = _outcome_of(self._source.fetch) if self._source.is_constant else await self._fetched()
            self._fetched_at = self._clock.monotonic()
            if isinstance(outcome, ApiError):
                self._failed(outcome)
            else:
                self._accept(outcome)
        except Exception as error:  # noqa: BLE001 - whatever it is, the key is fetched again
            self._failed(_unexpected(error))
        finally:
            self._renewal = None
            self._answered.set()

    async def _fetched(self) -> Credentials | ApiError:
        """Wait for the fetching thread; beyond the deadline alone, while requests fail."""
        thread = asyncio.ensure_future(self._worker.run(_outcome_of, self._source.fetch))
        try:
            await asyncio.wait([thread], timeout=FETCH_DEADLINE_SECONDS)
            if not thread.done():
                reason = f"no credentials within {FETCH_DEADLINE_SECONDS:.0f} s: check that their source can be reached"
                self._failed(ApiError(State.AUTH_ERROR, reason))
                self._answered.set()
            return await thread
        finally:
            thread.cancel()

    def _accept(self, fetched: Credentials) -> None:
        now = self._clock.now()
        if self._error is not None:
            _log.info("credentials renewed")
        is_new = fetched != self._held
        self._held, self._error = fetched, None
        if fetched.expires_at is None:
            self._renew_at = now + RENEWAL_SECONDS
        else:
            lead = min(MAX_RENEWAL_LEAD_SECONDS, RENEWAL_SHARE * (fetched.expires_at - now))
            self._renew_at = max(now + RETRY_SECONDS, fetched.expires_at - lead)
        if is_new:
            self._in_use(fetched)

    def _failed(self, error: ApiError) -> None:
        """Remember why; say it once while the old key still serves."""
        if self._good() is not None and self._error is None:
            _log.warning("credentials not renewed, the old ones are kept", reason=error.reason)
        self._error = error
        self._renew_at = self._clock.now() + RETRY_SECONDS


def _outcome_of(fetch: Fetch) -> Credentials | ApiError:
    """Call `fetch` so that nothing escapes from its thread."""
    try:
        return fetch()
    except ApiError as error:
        return error
    except BaseException as error:  # noqa: BLE001 - providers raise whatever befalls them
        return _unexpected(error)


def _unexpected(error: BaseException) -> ApiError:
    """Report that fetching failed unexpectedly; the text of the exception may hold a secret."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}" if place else ""
    _log.error("fetching credentials failed unexpectedly", error=type(error).__name__, where=where)
    return ApiError(State.AUTH_ERROR, f"fetching credentials failed unexpectedly ({type(error).__name__} at {where})")


if TYPE_CHECKING:
    from exporter.aliyun.sdk_credentials import OfficialSources

_KEY_VARIABLES: Final = (
    "ALIBABA_CLOUD_ACCESS_KEY_ID",
    "ALIBABA_CLOUD_ACCESS_KEY_SECRET",
    "ALIBABA_CLOUD_SECURITY_TOKEN",
)


def key_source(
    kind: model.Credentials,
    *,
    proxy: str | None = None,
    ca_file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> KeySource:
    """Return what fetches a key of the configured kind; `proxy` and `ca_file` are for token services."""
    if isinstance(kind, model.AccessKey):
        files = _secret_files(kind.access_key_secret, kind.security_token)
        return KeySource(fetch=lambda: _fixed_key(kind), files=files, is_constant=not files)
    if isinstance(kind, model.DefaultChain) and any(environment.get(name) for name in _KEY_VARIABLES[:2]):
        return KeySource(fetch=lambda: _key_of(environment), is_constant=True)

    @cache
    def official() -> "OfficialSources":
        from exporter.aliyun.sdk_credentials import OfficialSources  # noqa: PLC0415 - heavy, most never need it

        return OfficialSources(kind, proxy=proxy, ca_file=ca_file)

    return KeySource(
        fetch=lambda: official().fetch(), files=_files_of(kind, environment), start_over=official.cache_clear
    )


def _files_of(kind: model.Credentials, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the files whose change may bring another key; an OIDC token is read when a role is assumed."""
    home = Path(environment.get("HOME") or "~").expanduser()
    profiles = home / ".aliyun" / "config.json"
    match kind:
        case model.RamRoleArn():
            return _secret_files(kind.access_key_secret, kind.security_token)
        case model.Profile():
            return (profiles,)
        case model.DefaultChain():
            named = environment.get("ALIBABA_CLOUD_CREDENTIALS_FILE")
            return profiles, Path(named) if named else home / ".alibabacloud" / "credentials.ini"
        case _:
            return ()


def _secret_files(*secrets: Secret | None) -> tuple[Path, ...]:
    return tuple(secret.path for secret in secrets if isinstance(secret, SecretFile))


def _key_of(environment: Mapping[str, str]) -> Credentials:
    """Return the key that the environment has; half a key is an error, no other identity takes its place."""
    values = [environment.get(name, "") for name in _KEY_VARIABLES]
    return checked_key("environment", *values, names=_KEY_VARIABLES)


def _fixed_key(key: model.AccessKey) -> Credentials:
    secret = _read(key.access_key_secret, "access_key_secret")
    token = _read(key.security_token, "security_token") if key.security_token else None
    return checked_key("access_key", key.access_key_id, secret, token)


def _read(secret: Secret, name: str) -> str:
    try:
        text = secret.reveal()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        where = f" {secret.path}" if isinstance(secret, SecretFile) else ""
        raise ApiError(State.AUTH_ERROR, f"{name}_file{where} cannot be read: {reason}") from None
    if not text:
        raise ApiError(State.AUTH_ERROR, f"{name} is empty: check the configuration")
    return text
