"""Every kind of credentials comes through the official library from local stand-ins, and harms nothing."""

import importlib
import json
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme
from alibabacloud_credentials.utils import auth_constant, auth_util
from Tea.core import TeaCore

from exporter.aliyun.credentials import key_source
from exporter.aliyun.errors import ApiError
from exporter.aliyun.sdk_credentials import OfficialSources, Trust, _proxy_of
from exporter.config import model
from exporter.core.collection_state import State
from exporter.core.secret import Secret
from tests.support.http import Handler, serving_in_a_thread

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

EXPIRES_AT = 4_102_444_800.0
KEY = {
    "Code": "Success",
    "AccessKeyId": "STS.id",
    "AccessKeySecret": "very-secret",
    "SecurityToken": "very-secret-token",
    "Expiration": "2100-01-01T00:00:00Z",
}
SetEnvironment = Callable[..., None]


@dataclass
class TokenService:
    """Answers as metadata service, token service and credentials URI; remembers what it was asked."""

    status: int = 200
    key: dict[str, str] = field(default_factory=lambda: dict(KEY))
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    address: str = ""

    def answer(self, method: str, target: str) -> str:
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.requests.append((method, parts.path, query))
        if self.status != 200:
            return json.dumps({"Code": "NoPermission", "Message": f"very-secret-token in {target}"})
        if parts.path == "/latest/api/token":
            return "metadata-token"
        if parts.path == "/latest/meta-data/ram/security-credentials/":
            return "the-role"
        return json.dumps({"Credentials": self.key} if "Action" in query else self.key)


@contextmanager
def serving(service: TokenService, tls: ssl.SSLContext | None = None) -> Iterator[TokenService]:
    """Serve in a thread on a free port of 127.0.0.1."""

    class Tokens(Handler):
        def answer(self) -> None:
            self.respond(service.answer(self.command, self.path).encode(), service.status)

    with serving_in_a_thread(Tokens, tls) as address:
        service.address = address
        yield service


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SetEnvironment]:
    """An environment without Alibaba's variables and with an empty home, to be set before the library reads it."""
    for name in (
        "ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "SECURITY_TOKEN", "ECS_METADATA", "ECS_METADATA_DISABLED", "PROFILE",
        "IMDSV1_DISABLED", "CREDENTIALS_FILE", "OIDC_TOKEN_FILE", "ROLE_ARN", "OIDC_PROVIDER_ARN", "CREDENTIALS_URI",
        "ROLE_SESSION_NAME", "CLI_PROFILE_DISABLED", "STS_REGION", "VPC_ENDPOINT_ENABLED",
    ):  # fmt: skip
        monkeypatch.delenv(f"ALIBABA_CLOUD_{name}", raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def set_variables(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        importlib.reload(auth_util)
        importlib.reload(auth_constant)

    set_variables()
    yield set_variables
    monkeypatch.undo()
    importlib.reload(auth_util)
    importlib.reload(auth_constant)


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenService]:
    """A token service that speaks HTTP, also at the metadata service's address."""
    compose = TeaCore.compose_url
    with serving(TokenService()) as service:
        monkeypatch.setattr(
            TeaCore,
            "compose_url",
            staticmethod(lambda request: compose(request).replace("100.100.100.200", service.address)),
        )
        yield service


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """An authority's file, and TLS for a server of its own at 127.0.0.1."""
    ca = trustme.CA()
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    return path, context


def assert_is_key(kind: model.Credentials, *, ca_file: Path | None = None, expires_at: float = EXPIRES_AT) -> None:
    """Fetch a key and compare it with the one that the stand-ins hand out."""
    key = OfficialSources(kind, proxy=None, ca_file=ca_file).fetch()
    assert key.access_key_id == "STS.id"
    assert key.access_key_secret == Secret("very-secret")
    assert key.security_token == Secret("very-secret-token")
    assert key.expires_at == expires_at


def failure_of(kind: model.Credentials) -> str:
    """Return the sentence about credentials that can't be had."""
    with pytest.raises(ApiError) as caught:
        OfficialSources(kind, proxy=None, ca_file=None).fetch()
    assert caught.value.state is State.AUTH_ERROR
    assert "very-secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def ram_role(sts_endpoint: str) -> model.RamRoleArn:
    """Return a role that is assumed with a key."""
    return model.RamRoleArn(
        access_key_id="id", access_key_secret=Secret("s"), role_arn="acs:ram::1:role/r", sts_endpoint=sts_endpoint
    )


def test_ecs_role(tokens: TokenService) -> None:
    """The ECS role's key comes from the metadata service, by its token, and no thread is left behind."""
    assert_is_key(model.EcsRamRole())
    assert [(method, path) for method, path, _ in tokens.requests][:2] == [
        ("PUT", "/latest/api/token"),
        ("GET", "/latest/meta-data/ram/security-credentials/"),
    ]
    assert_is_key(model.EcsRamRole(role_name="another"))
    assert tokens.requests[-1][1].endswith("/security-credentials/another")
    assert not [thread for thread in threading.enumerate() if "APScheduler" in thread.name]


def test_ram_role_arn(authority: tuple[Path, ssl.SSLContext]) -> None:
    """A role is assumed at the configured token service, which ca_file makes trusted."""
    ca_file, tls = authority
    with serving(TokenService(), tls) as sts:
        assert_is_key(ram_role(sts.address), ca_file=ca_file)
        query = sts.requests[0][2]
        assert "its certificate is not trusted" in failure_of(ram_role(sts.address.replace("127.0.0.1", "localhost")))
    assert (query["Action"], query["RoleArn"], query["AccessKeyId"]) == ("AssumeRole", "acs:ram::1:role/r", "id")
    assert (query["RoleSessionName"], query["DurationSeconds"]) == ("rtcmpu-exporter", "3600")


def test_oidc_role_arn(authority: tuple[Path, ssl.SSLContext], tmp_path: Path) -> None:
    """A role is assumed with the token that is in the file at that moment."""
    ca_file, tls = authority
    token_file = tmp_path / "token"
    with serving(TokenService(), tls) as sts:
        kind = model.OidcRoleArn(
            role_arn="acs:ram::1:role/r",
            oidc_provider_arn="acs:ram::1:oidc-provider/p",
            oidc_token_file=token_file,
            sts_endpoint=sts.address,
        )
        for token in ("first", "second"):
            token_file.write_text(token)
            assert_is_key(kind, ca_file=ca_file)
            assert sts.requests[-1][2]["OIDCToken"] == token
    token_file.unlink()
    assert f"{token_file}: No such file" in failure_of(kind)


@pytest.mark.parametrize("path", ["/key", "/key?role=r"])
def test_credentials_uri(tokens: TokenService, path: str) -> None:
    """A credentials URI is asked once for the key, also for one of a quarter of an hour, which has its expiry."""
    expires_at = int(time.time()) + 890
    tokens.key["Expiration"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires_at))
    assert_is_key(model.CredentialsUri(uri=f"http://{tokens.address}{path}"), expires_at=expires_at)
    assert [asked for _, asked, _ in tokens.requests] == ["/key"]


def test_credentials_uri_without_port(environment: SetEnvironment, tokens: TokenService) -> None:
    """A URI needs no port, though the library can't do without."""
    environment(HTTP_PROXY=f"http://{tokens.address}")
    assert_is_key(model.CredentialsUri(uri="http://credentials.invalid/key"))


def write_profile(home: Path, **profile: str) -> None:
    """Write the command line's file with one profile."""
    (home / ".aliyun").mkdir(exist_ok=True)
    content = {"current": "p", "profiles": [{"name": "p", **profile}]}
    (home / ".aliyun" / "config.json").write_text(json.dumps(content))


def test_cli_profile(tokens: TokenService, tmp_path: Path) -> None:
    """A profile's key is read again at each fetch; one that gets tokens knows their expiry and starts no thread."""
    del tokens
    fetch = OfficialSources(model.Profile(), proxy=None, ca_file=None).fetch
    for key in ("first", "second"):
        write_profile(tmp_path, mode="AK", access_key_id=key, access_key_secret="s")
        assert fetch().access_key_id == key
    write_profile(tmp_path, mode="EcsRamRole", ram_role_name="r")
    assert_is_key(model.Profile(profile="p"))
    assert not [thread for thread in threading.enumerate() if "APScheduler" in thread.name]
    assert "unable to get profile with 'q'" in failure_of(model.Profile(profile="q"))


def test_default_chain_says_what_was_tried(tokens: TokenService) -> None:
    """Where nothing is set up, the sentence names each source with its reason."""
    tokens.status = 404
    sentence = failure_of(model.DefaultChain())
    for source in ("environment (", "CLI profile (", "credentials file (", "ECS RAM role (status 404)"):
        assert source in sentence


OIDC = {"ALIBABA_CLOUD_ROLE_ARN": "r", "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "p", "ALIBABA_CLOUD_OIDC_TOKEN_FILE": "none"}
INI = "[default]\ntype = access_key\naccess_key_id = ini\naccess_key_secret = s\n"
CLI = '{"current": "p", "profiles": [{"name": "p", "mode": "AK", "access_key_id": "cli", "access_key_secret": "s"}]}'


@pytest.mark.parametrize(
    ("variables", "files", "outcome"),
    [
        ({}, {}, "ecs_ram_role"),
        ({"ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}, {}, "credentials_uri"),
        ({}, {"credentials.ini": INI}, "credentials_file"),
        ({}, {"credentials.ini": INI, "config.json": CLI}, "profile"),
        ({"ALIBABA_CLOUD_CLI_PROFILE_DISABLED": "true"}, {"config.json": CLI}, "ecs_ram_role"),
        ({"ALIBABA_CLOUD_PROFILE": "q"}, {"config.json": CLI, "credentials.ini": INI}, "ecs_ram_role"),
        ({}, {"config.json": '{"current": "p", "profiles": [{"name": "p", "mode": "AK"}]}'}, "ecs_ram_role"),
        # What is set up and fails is not replaced by another identity.
        ({}, {"config.json": "{half"}, "tried environment (not set), OIDC role ARN (not set), CLI profile (failed to"),
        ({}, {"credentials.ini": "[default]\ntype = nonsense"}, "credentials file (unsupported credential type"),
        (OIDC, {"config.json": CLI}, "tried environment (not set), OIDC role ARN (none: No such file or directory)"),
    ],
)
def test_default_chain_asks_the_first_source_that_is_set_up(
    environment: SetEnvironment,
    tokens: TokenService,
    tmp_path: Path,
    variables: dict[str, str],
    files: dict[str, str],
    outcome: str,
) -> None:
    """The order is the official one; a source that someone set up and that fails is the chain's failure."""
    for name, content in files.items():
        path = tmp_path / {"config.json": ".aliyun", "credentials.ini": ".alibabacloud"}[name] / name
        path.parent.mkdir()
        path.write_text(content)
    environment(ALIBABA_CLOUD_CREDENTIALS_URI=f"http://{tokens.address}/key", **variables)
    if " " in outcome:
        assert outcome in failure_of(model.DefaultChain())
    else:
        assert OfficialSources(model.DefaultChain(), proxy=None, ca_file=None).fetch().source == outcome


def test_a_named_ecs_role_that_fails_is_not_replaced(environment: SetEnvironment, tokens: TokenService) -> None:
    """The ECS role is set up where its name is; without a name the URI is asked where there is no role."""
    tokens.status = 503
    variables = {"ALIBABA_CLOUD_CREDENTIALS_URI": f"http://{tokens.address}/key"}
    environment(**variables)
    assert "credentials URI (status 503" in failure_of(model.DefaultChain())
    environment(**variables, ALIBABA_CLOUD_ECS_METADATA="role")
    assert "credentials URI" not in failure_of(model.DefaultChain())


def test_credentials_file_with_the_ecs_role(tokens: TokenService, tmp_path: Path) -> None:
    """The role in a credentials file starts no thread either."""
    del tokens
    ini = tmp_path / ".alibabacloud"
    ini.mkdir()
    (ini / "credentials.ini").write_text("[default]\ntype = ecs_ram_role\nrole_name = r\n")
    assert_is_key(model.DefaultChain())
    assert not [thread for thread in threading.enumerate() if "APScheduler" in thread.name]


def test_default_chain_stays_with_its_source_until_it_starts_over(
    environment: SetEnvironment, tokens: TokenService, tmp_path: Path
) -> None:
    """A source that fails later is not replaced by another one, whose key may belong to someone else."""
    environment(
        ALIBABA_CLOUD_CREDENTIALS_URI=f"http://{tokens.address}/key", ALIBABA_CLOUD_ECS_METADATA_DISABLED="true"
    )
    sources = key_source(model.DefaultChain(), environment={})
    sources.fetch()
    write_profile(tmp_path, mode="AK", access_key_id="first", access_key_secret="s")
    assert sources.fetch().source == "credentials_uri"
    tokens.status = 500
    with pytest.raises(ApiError) as caught:
        sources.fetch()
    assert str(caught.value) == "no credentials found; tried credentials URI (status 500 NoPermission)"
    sources.start_over()
    assert sources.fetch().source == "profile"


@pytest.mark.parametrize(
    ("url", "proxy", "expected"),
    [
        ("http://100.100.100.200/latest", "http://p:1", None),
        ("http://127.0.0.1:8080/key", "http://p:1", None),
        ("http://localhost/key", "http://p:1", None),
        ("http://169.254.1.1/key", "http://p:1", None),
        ("http://keys.example.com/key", "http://p:1", ("http://env:2", "HTTP_PROXY")),
        ("https://sts.aliyuncs.com/", "http://p:1", ("http://p:1", "proxy")),
        ("https://sts.aliyuncs.com/", None, ("http://env:3", "HTTPS_PROXY")),
        ("https://sts.internal/", None, None),
    ],
)
def test_proxies_of_token_services(
    environment: SetEnvironment, url: str, proxy: str | None, expected: tuple[str, str] | None
) -> None:
    """Metadata and this machine are never asked through a proxy; the account's proxy is for https."""
    environment(HTTP_PROXY="http://env:2", HTTPS_PROXY="http://env:3", NO_PROXY="*.internal")
    assert _proxy_of(url, Trust(proxy, None)) == expected


def test_a_profile_assumes_its_role_through_the_accounts_proxy(
    environment: SetEnvironment, tokens: TokenService, tmp_path: Path
) -> None:
    """The configured proxy is asked for the token service, and named without its password where it refuses."""
    tokens.status = 502
    environment(HTTPS_PROXY="http://127.0.0.1:9")
    write_profile(tmp_path, mode="RamRoleArn", access_key_id="id", access_key_secret="s", ram_role_arn="r")
    sources = OfficialSources(model.Profile(), proxy=f"http://user:hunter2@{tokens.address}", ca_file=None)
    with pytest.raises(ApiError, match=f"the proxy {tokens.address} cannot be reached or refuses") as caught:
        sources.fetch()
    assert "hunter2" not in str(caught.value)
    assert [method for method, _, _ in tokens.requests] == ["CONNECT"]


@pytest.mark.parametrize("missing", ["AccessKeyId", "AccessKeySecret", "Code", "Expiration"])
def test_an_incomplete_answer_is_an_error(tokens: TokenService, missing: str) -> None:
    """An answer without a whole key is never used as one."""
    del tokens.key[missing]
    assert "ECS RAM role" in failure_of(model.EcsRamRole(role_name="r"))
    assert "credentials URI" in failure_of(model.CredentialsUri(uri=f"http://{tokens.address}/k"))


def test_the_library_writes_nothing(
    tokens: TokenService,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What a token service answers is neither printed nor logged by the library."""
    tokens.status = 403
    caplog.set_level(logging.DEBUG)
    assert "status 403 NoPermission" in failure_of(model.CredentialsUri(uri=f"http://{tokens.address}/k"))
    assert "very-secret" not in "".join(capfd.readouterr()) + caplog.text


def test_an_unreachable_source_is_named() -> None:
    """A source that refuses connections is distinguished from one that answers."""
    assert "credentials URI (cannot be reached)" in failure_of(model.CredentialsUri(uri="http://127.0.0.1:9/k"))
