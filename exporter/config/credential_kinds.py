"""Where an account's access key comes from: one type for each kind that the official library knows."""

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from exporter.config.section import Section, about
from exporter.config.value_types import Expected, FileName, Matches, Url, WholeDuration
from exporter.core.secret import KEY_PATTERN, Secret, stripped

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

    access_key_id: Annotated[KeyId, about("Id of the key that assumes the role.")]
    access_key_secret: Annotated[KeySecret, about("Secret of the key that assumes the role.")]
    security_token: KeySecret | None = about("Its token, if it is a temporary key.", None)
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
]
"""A mapping without a `type` is an access key."""
