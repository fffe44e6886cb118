"""Where an account's access key comes from: one type for each kind that the official library knows."""

from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta, Struct, field

from exporter.config.secret import KEY_PATTERN, Secret

Text = Annotated[str, Meta(min_length=1)]
_KEY_EXPECTED: Final = "printable ASCII without spaces"
KeyId = Annotated[str, Meta(pattern=KEY_PATTERN, extra={"expected": _KEY_EXPECTED})]
KeySecret = Annotated[Secret, Meta(extra={"pattern": KEY_PATTERN, "expected": _KEY_EXPECTED})]
SessionName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9.@_-]{2,64}$",
        description="How the session is called in the audit log.",
        extra={"expected": "2 to 64 letters, digits or . @ _ -"},
    ),
]
SessionSeconds = Annotated[
    int,
    Meta(
        ge=900,
        le=43200,
        description="How long the temporary key lives; the role has to allow it.",
        extra={"kind": "duration"},
    ),
]
SessionPolicy = Annotated[str, Meta(min_length=1, description="A policy, as JSON, that narrows the role's rights.")]
StsEndpoint = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*(:[0-9]{1,5})?$",
        description="Host of the token service, if not the default.",
        extra={"expected": "a host name without scheme and path"},
    ),
]
_SESSION_NAME: Final = "rtcmpu-exporter"


class DefaultChain(Struct, frozen=True, kw_only=True, tag_field="type", tag="default"):
    """The official default chain: environment, OIDC, the CLI's files, the ECS role, the credentials URI."""


class AccessKey(Struct, frozen=True, kw_only=True, tag_field="type", tag="access_key"):
    """A fixed access key; with `security_token` a temporary one."""

    access_key_id: Annotated[KeyId, Meta(description="The access key's id.")]
    access_key_secret: Annotated[KeySecret, Meta(description="The access key's secret.")]
    security_token: Annotated[KeySecret | None, Meta(description="The token of a temporary key.")] = None


class EcsRamRole(Struct, frozen=True, kw_only=True, tag_field="type", tag="ecs_ram_role"):
    """The RAM role of the ECS instance that this runs on, by its metadata service."""

    role_name: Annotated[Text | None, Meta(description="The role; found by itself if left out.")] = None


class RamRoleArn(Struct, frozen=True, kw_only=True, tag_field="type", tag="ram_role_arn"):
    """A RAM role that is assumed with an access key."""

    access_key_id: Annotated[KeyId, Meta(description="Id of the key that assumes the role.")]
    access_key_secret: Annotated[KeySecret, Meta(description="Secret of the key that assumes the role.")]
    security_token: Annotated[KeySecret | None, Meta(description="Its token, if it is a temporary key.")] = None
    role_arn: Annotated[Text, Meta(description="The role, as `acs:ram::ACCOUNT:role/NAME`.")]
    role_session_name: SessionName = _SESSION_NAME
    policy: SessionPolicy | None = None
    duration_seconds: SessionSeconds = field(default=3600, name="duration")
    external_id: Annotated[Text | None, Meta(description="The external id that the role's trust asks for.")] = None
    sts_endpoint: StsEndpoint | None = None


class OidcRoleArn(Struct, frozen=True, kw_only=True, tag_field="type", tag="oidc_role_arn"):
    """A RAM role that is assumed with an OIDC token, as for a service account of Kubernetes."""

    role_arn: Annotated[Text, Meta(description="The role, as `acs:ram::ACCOUNT:role/NAME`.")]
    oidc_provider_arn: Annotated[Text, Meta(description="The OIDC provider, as `acs:ram::ACCOUNT:oidc-provider/NAME`.")]
    oidc_token_file: Annotated[Path, Meta(description="The file that holds the token.")]
    role_session_name: SessionName = _SESSION_NAME
    policy: SessionPolicy | None = None
    duration_seconds: SessionSeconds = field(default=3600, name="duration")
    sts_endpoint: StsEndpoint | None = None


class Profile(Struct, frozen=True, kw_only=True, tag_field="type", tag="profile"):
    """A profile of the official command line's `~/.aliyun/config.json`."""

    profile: Annotated[Text | None, Meta(description="The profile; the current one if left out.")] = None


class CredentialsUri(Struct, frozen=True, kw_only=True, tag_field="type", tag="credentials_uri"):
    """A local service that hands out temporary keys as JSON."""

    uri: Annotated[str, Meta(description="Its address.", extra={"kind": "url"})]


Credentials = DefaultChain | AccessKey | EcsRamRole | RamRoleArn | OidcRoleArn | Profile | CredentialsUri
