"""Every key of the configuration: its type, bounds, default and meaning, declared once.

The loader, the JSON Schema and `docs/configuration.md` derive from it. Only values that `loader.py` reads are checked.
"""

import re
import ssl
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, ValidationInfo, model_validator

from exporter.config.files import is_file
from exporter.config.policy_model import Expect, Policy
from exporter.config.section import Section, about, problems
from exporter.config.value_types import (
    NONE,
    Bounds,
    DefaultNote,
    Duration,
    Endpoint,
    Expected,
    FileName,
    FilePattern,
    Matches,
    Number,
    OrNoKeys,
    OrNone,
    Proxy,
    Switch,
    Url,
    Whole,
    WholeDuration,
    format_duration,
)
from exporter.core.regular_file import database_refusal
from exporter.core.secret import HIDDEN, KEY_PATTERN, Secret, SecretFile, stripped

_Stripped: Final = BeforeValidator(lambda text: stripped(text) if isinstance(text, str) else text)
_KEY_EXPECTED: Final = "printable ASCII without spaces"
Text = Annotated[str, Field(min_length=1), _Stripped]
KeyId = Annotated[str, Matches(KEY_PATTERN, _KEY_EXPECTED), _Stripped]
KeySecret = Annotated[Secret, Expected(_KEY_EXPECTED)]
SessionName = Annotated[
    str,
    Matches(r"^[A-Za-z0-9.@_-]{2,64}$", "2 to 64 letters, digits or . @ _ -"),
    _Stripped,
    about("Name of the session in the audit log."),
]
SessionSeconds = Annotated[
    WholeDuration, about("Lifetime of the temporary key; the role must allow it.", ge=900, le=43200, alias="duration")
]
SessionPolicy = Annotated[Text | None, about("A JSON policy that restricts the role's permissions.")]
StsEndpoint = Annotated[
    Annotated[
        str,
        Matches(r"^[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*(:[0-9]{1,5})?$", "a host name without scheme and path"),
    ]
    | None,
    about("Host of the token service."),
]
_SESSION_NAME: Final = "rtcmpu-exporter"


class DefaultChain(Section):
    """The official default chain: environment, OIDC, the CLI's files, the ECS role, the credentials URI."""

    type: Literal["default"] = "default"


class AccessKey(Section):
    """A fixed access key; with `security_token` a temporary one."""

    type: Literal["access_key"] = "access_key"

    access_key_id: Annotated[KeyId, about("The access key's id.")]
    access_key_secret: Annotated[KeySecret, about("The access key's secret.")]
    security_token: KeySecret | None = about("The token of a temporary key.", None)


class EcsRamRole(Section):
    """The RAM role of the ECS instance, from its metadata service."""

    type: Literal["ecs_ram_role"] = "ecs_ram_role"

    role_name: Text | None = about("The role. Default: the instance's role.", None)


class RamRoleArn(Section):
    """A RAM role assumed with an access key."""

    type: Literal["ram_role_arn"] = "ram_role_arn"

    access_key_id: Annotated[KeyId, about("The access key's id.")]
    access_key_secret: Annotated[KeySecret, about("The access key's secret.")]
    security_token: KeySecret | None = about("The token of a temporary key.", None)
    role_arn: Annotated[Text, about("The role: `acs:ram::ACCOUNT:role/NAME`.")]
    role_session_name: SessionName = _SESSION_NAME
    policy: SessionPolicy = None
    duration_seconds: SessionSeconds = 3600
    external_id: Text | None = about("The external id that the role's trust policy requires.", None)
    sts_endpoint: StsEndpoint = None


class OidcRoleArn(Section):
    """A RAM role assumed with an OIDC token, for example of a Kubernetes service account."""

    type: Literal["oidc_role_arn"] = "oidc_role_arn"

    role_arn: Annotated[Text, about("The role: `acs:ram::ACCOUNT:role/NAME`.")]
    oidc_provider_arn: Annotated[Text, about("The OIDC provider: `acs:ram::ACCOUNT:oidc-provider/NAME`.")]
    oidc_token_file: Annotated[FileName, about("The file with the token.")]
    role_session_name: SessionName = _SESSION_NAME
    policy: SessionPolicy = None
    duration_seconds: SessionSeconds = 3600
    sts_endpoint: StsEndpoint = None


class Profile(Section):
    """A profile of the official command line's `~/.aliyun/config.json`."""

    type: Literal["profile"] = "profile"

    profile: Text | None = about("The profile. Default: the current one.", None)


class CredentialsUri(Section):
    """A local service that returns temporary keys as JSON."""

    type: Literal["credentials_uri"] = "credentials_uri"

    uri: Annotated[Url, about("Its address.")]


CredentialsKind = DefaultChain | AccessKey | EcsRamRole | RamRoleArn | OidcRoleArn | Profile | CredentialsUri
Credentials = Annotated[
    CredentialsKind,
    Field(discriminator="type"),
    BeforeValidator(lambda value: {"type": "access_key"} | value if isinstance(value, dict) else value),
]  # a mapping without a `type` is an access key

DEFAULT_ENDPOINT: Final = "https://live.aliyuncs.com"
DEFAULT_REQUESTS_PER_SECOND: Final = 40.0
STALE_AFTER_SWEEPS: Final = 3
LEAST_STALE_AFTER_SWEEPS: Final = 2

AccountName = Annotated[str, Matches(r"^[A-Za-z0-9_.-]{1,64}$", "1 to 64 letters, digits or _ . -")]
AppId = Annotated[str, Matches(r"^[A-Za-z0-9_-]{1,64}$", "1 to 64 letters, digits or _ -")]
TaskCount = Annotated[Annotated[Whole, Field(ge=0, le=1_000_000_000)] | None, OrNone]


class Quota(Section):
    """The maximum number of tasks of an app. Without a value, or with `none`, it is unknown and not published."""

    single: TaskCount = about("Single-stream relay tasks.", None)
    mixed: TaskCount = about("Mixed-stream relay tasks.", None)


def _or_none(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [{"$ref": schema.pop("$ref")}, {"const": NONE}]


class App(Section):
    """An app to read."""

    id: Annotated[AppId, about("The AppId; the label `app_id`.")]
    name: str = about("A name for people; the label `name`.", "", max_length=200)
    owner: str = about("The owner; the label `owner`.", "", max_length=200)
    quota: Annotated[Quota, OrNoKeys] = about(
        "The maximum number of tasks; `none` if unknown.", Quota(), json_schema_extra=_or_none
    )
    expect: Expect | None = about("Expectations of its tasks.", None)


def _check_authorities(path: Path, info: ValidationInfo) -> Path:
    if info.context is None or not info.context["looks_at_files"]:
        return path
    problem = None if is_file(path) else "not found"
    if problem is None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except OSError as error:
            problem = f"can't be used ({error.strerror})"
    text = f"ca_file {str(path)!r} {problem}, expected a PEM file with certificates"
    return problems([("", text)] if problem else [], path)


class Account(Section):
    """An account of the service with its credentials, request budget and apps."""

    name: Annotated[AccountName, about("The label `account`.")]
    endpoint: Endpoint = about("The service's address.", DEFAULT_ENDPOINT)
    requests_per_second: Number = about(
        "This exporter's share of the cloud account's 50 requests per second. Two replicas need half each.",
        DEFAULT_REQUESTS_PER_SECOND,
        gt=0,
        le=50,
    )
    limit_group: AccountName | None = about(
        "Entries with the same name share one limiter; entries with the same endpoint and key always do.", None
    )
    proxy: Proxy | None = about("HTTP proxy. Default: HTTPS_PROXY and NO_PROXY.", None)
    ca_file: Annotated[FileName, AfterValidator(_check_authorities)] | None = about(
        "PEM file with CAs, in addition to the system's.", None
    )
    app_files: tuple[FilePattern, ...] = about("Files with lists of apps, or patterns; reloaded on change.", ())
    credentials: Credentials = about("Source of the access key. Default: the official default chain.", DefaultChain())
    apps: tuple[App, ...] = about("The apps, in addition to those of `app_files`.", ())

    def __repr__(self) -> str:
        """Name it alone: the proxy's address can hold a password."""
        return f"Account({self.name!r})"


class Collection(Section):
    """Intervals and limits of reading the lists."""

    interval_seconds: Duration = about("Interval between updates of an app.", 10.0, ge=0.1, alias="interval")
    sweep_interval_seconds: Duration = about(
        "Interval between sweeps of an app; at least `interval`.", 300.0, ge=0.1, alias="sweep_interval"
    )
    stale_after_seconds: Annotated[Duration, DefaultNote("3 x `sweep_interval`")] = about(
        "Age of the last accepted sweep at which data is withdrawn; at least 2 x `sweep_interval`.",
        0.0,
        ge=0.2,
        alias="stale_after",
    )
    request_timeout_seconds: Duration = about(
        "Timeout of a request, from connecting to the last byte.", 10.0, ge=0.1, le=300, alias="request_timeout"
    )
    max_tasks_per_app: Whole = about(
        "An app with more tasks is not read: `limit_exceeded`.", 200_000, ge=100, le=10_000_000
    )

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        if not self.stale_after_seconds:
            object.__setattr__(self, "stale_after_seconds", STALE_AFTER_SWEEPS * self.sweep_interval_seconds)
        return self if info.context is None else problems(self._misfits(), self)

    def _misfits(self) -> list[tuple[str, str]]:
        found = []
        if self.interval_seconds > self.sweep_interval_seconds:
            given = "interval" if "interval_seconds" in self.model_fields_set else "sweep_interval"
            text = f"interval {format_duration(self.interval_seconds)} is longer than sweep_interval"
            found.append((given, f"{text}, expected at most {format_duration(self.sweep_interval_seconds)}"))
        least_seconds = LEAST_STALE_AFTER_SWEEPS * self.sweep_interval_seconds
        if self.stale_after_seconds < least_seconds:
            text = f"stale_after {format_duration(self.stale_after_seconds)} is too short"
            found.append(
                ("stale_after", f"{text}, expected at least 2 x sweep_interval, {format_duration(least_seconds)}")
            )
        return found


class Buckets(Section):
    """Upper bounds of the distributions, ascending; +Inf is added.

    The defaults are few: each bound adds a series per app, region and mode.
    """

    video_bitrate_kbps: Bounds = about("Video bitrate, kbit/s.", (500, 1000, 2000, 3000, 4000, 8000))
    audio_bitrate_kbps: Bounds = about("Audio bitrate, kbit/s.", (64, 128, 256))
    video_framerate: Bounds = about("Frames per second.", (15, 25, 30, 60))
    gop_seconds: Bounds = about("Length of a group of pictures, GOP / framerate.", (1, 2, 4, 10))
    frame_pixels: Bounds = about("Width x height.", (307_200, 921_600, 2_073_600))
    idle_timeout_seconds: Bounds = about("MaxIdleTime, seconds.", (60, 600, 3600, 86400))
    panes: Bounds = about("Panes of the layout.", (0, 1, 4, 9))
    users: Bounds = about("Users listed.", (1, 4, 16))


DATABASE_URL: Final = r"^(sqlite:/?[^/]|postgresql\+psycopg://)"
SQLITE: Final = "sqlite:"


def database_problem(url: str) -> str | None:
    """Return why a database can't be used by its URL alone; None: nothing is wrong with it."""
    if not re.match(DATABASE_URL, url) or not re.match(KEY_PATTERN, url):
        return "is another database, expected sqlite:PATH or postgresql+psycopg://USER@HOST/DATABASE"
    if not url.startswith(SQLITE) and find_spec("psycopg") is None:
        return "needs psycopg, expected an installed rtcmpu-exporter[postgresql]"
    return None


def _shown_url(url: Secret) -> str:
    if isinstance(url, SecretFile):
        return HIDDEN
    address, mark, _ = url.reveal().partition("?")
    return re.sub("//.*@", f"//{HIDDEN}@", address) + (mark and mark + HIDDEN)


NOT_SHARED: Final = "sharing needs a database that all exporters reach, expected storage with a URL of PostgreSQL"


def _database_url(url: Secret, directory: Path = Path()) -> str:
    """Return a URL with the path of an SQLite file from the directory of the file that holds it, or from this one."""
    text, directory = url.reveal(), url.path.parent if isinstance(url, SecretFile) else directory
    return f"{SQLITE}{directory / text.removeprefix(SQLITE)}" if text.startswith(SQLITE) else text


def _check_database(url: Secret, info: ValidationInfo) -> Secret:
    """Refuse other databases, wherever the URL is, and make the path of a file absolute."""
    if info.context is None:
        return url
    key = "url_file" if isinstance(url, SecretFile) else "url"
    try:
        problem, text = database_problem(url.reveal()), _database_url(url, info.context["directory"])
    except (OSError, UnicodeDecodeError):
        return url  # the file may appear later
    if problem is not None:
        return problems([("", f"{key} {problem}")], url)
    path = text.removeprefix(SQLITE)
    is_checked = text != path and info.context["looks_at_files"]
    if is_checked and (refusal := database_refusal(Path(path))) is not None:
        expected = "expected the path of a new file or of its database"
        return problems([("", f"database {path!r} can't be used: {refusal}, {expected}")], url)
    return url if isinstance(url, SecretFile) else Secret(text)


class Storage(Section):
    """A database of tasks, changes and violations that outlives the process."""

    url: Annotated[
        Secret,
        AfterValidator(_check_database),
        PlainSerializer(_shown_url, when_used="json"),
        about(
            "`sqlite:PATH`, readable by its owner only, or `postgresql+psycopg://USER@HOST/DATABASE`, as SQLAlchemy"
            " has it. Use `url_file` for a URL with a password.",
            json_schema_extra={"pattern": DATABASE_URL},
        ),
    ]
    retention_seconds: Duration = about(
        "Age at which changes and resolved violations are removed.", 90 * 86400.0, ge=60, alias="retention"
    )

    def database_url(self) -> str:
        """Return the URL, read again if in a file, an SQLite path absolute; raises OSError, UnicodeDecodeError."""
        return _database_url(self.url)

    @property
    def is_own(self) -> bool:
        """Whether no other exporter reaches it."""
        with suppress(OSError, UnicodeDecodeError):
            return self.database_url().startswith(SQLITE)
        return False


ALLOWED_REQUESTS_PER_SECOND: Final = 50.0
"""What the service allows a cloud account, all its users and exporters together."""


class Sharing(Section):
    """Several exporters with one database divide the request budgets."""

    exporters: Annotated[Whole, about("How many exporters there are at most.", ge=1, le=50)]
    lease_seconds: Duration = about(
        "Time after which another exporter takes over from one that has failed.", 10.0, ge=2, le=3600, alias="lease"
    )
    fallback_requests_per_second: Number = about(
        "Budget of an exporter that can't reach the database, for each account.", 1.0, gt=0, le=50
    )
    advertise: Endpoint | None = about("Address at which people reach this exporter; others link to it.", None)


class PerTask(Section):
    """Per-task series on `/metrics/tasks`."""

    enabled: Switch = about("Whether to publish them.", False)
    max_series: Whole = about("Maximum number of series over all apps, 4 to 16 per task.", 100_000, ge=1, le=10_000_000)


class Metrics(Section):
    """Published metrics."""

    per_task: PerTask = about("Per-task series.", PerTask())

    buckets: Buckets = about("Upper bounds of the distributions.", Buckets())


class Config(Section):
    """The whole configuration."""

    accounts: Annotated[tuple[Account, ...], about("The accounts with their apps.", json_schema_extra={"minItems": 1})]
    collection: Collection = about("Intervals and limits of reading the lists.", Collection())
    policy: Policy = about("Rules and violations.", Policy())
    storage: Storage | None = about("A database that outlives the process. Default: none.", None)
    sharing: Sharing | None = about("Several exporters with one PostgreSQL in `storage`. Default: none.", None)
    metrics: Metrics = about("Published metrics.", Metrics())

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        if info.context is None or self.sharing is None:
            return self
        if self.storage is None or self.storage.is_own:
            return problems([("sharing", NOT_SHARED)], self)
        rates = [(account.name, self.most_requests_per_second(account)) for account in self.accounts]
        text = (
            "account {} may send {:g}/s: requests_per_second + (exporters - 1) x fallback_requests_per_second,"
            f" expected at most {ALLOWED_REQUESTS_PER_SECOND:g}"
        )
        too_fast = [text.format(name, rate) for name, rate in rates if rate > ALLOWED_REQUESTS_PER_SECOND]
        return problems([("sharing", each) for each in too_fast], self)

    def most_requests_per_second(self, account: Account) -> float:
        """Return what all exporters together may send for an account, one of them by its lease."""
        if self.sharing is None:
            return account.requests_per_second
        others = self.sharing.exporters - 1
        return account.requests_per_second + others * self.sharing.fallback_requests_per_second


def redacted(config: Config) -> str:
    """Return the configuration in effect as YAML, defaults included, each secret as `<secret>`."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)
