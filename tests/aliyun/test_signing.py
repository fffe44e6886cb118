"""The signature equals the vendor's own, byte for byte."""

import string
from urllib.parse import parse_qsl

from alibabacloud_tea_openapi.utils import Utils
from hypothesis import given
from hypothesis import strategies as st
from Tea.request import TeaRequest

from exporter.aliyun.credentials import Credentials
from exporter.aliyun.signing import EMPTY_BODY_SHA256, authorization, canonical_query, signed_headers
from exporter.core.secret import Secret

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
HEADER_VALUES = st.text(string.ascii_letters + string.digits + " ~_-./+=", max_size=30)
NAMES = st.text(string.ascii_lowercase + "-", min_size=1, max_size=12)


def test_signature_is_the_vendors_test_vector() -> None:
    """The vendor's published example has the vendor's signature."""
    query = canonical_query(
        {"RegionId": "cn-shanghai", "ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd"}
    )
    headers = {
        "host": "ecs.cn-shanghai.aliyuncs.com",
        "x-acs-action": "RunInstances",
        "x-acs-version": "2014-05-26",
        "x-acs-date": "2023-10-26T10:22:32Z",
        "x-acs-signature-nonce": "3156853299f313e23d1673dc12e1703d",
        "x-acs-content-sha256": EMPTY_BODY_SHA256,
    }
    assert authorization(headers, query, "YourAccessKeyId", "YourAccessKeySecret") == (
        "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;"
        "x-acs-signature-nonce;x-acs-version,"
        "Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
    )


@given(
    parameters=st.dictionaries(st.text(string.ascii_letters, min_size=1, max_size=8), TEXTS, max_size=5),
    extra=st.dictionaries(NAMES, HEADER_VALUES, max_size=4),
    key=st.tuples(st.text(string.ascii_letters, min_size=1), TEXTS),
)
def test_signature_equals_the_official_librarys(
    parameters: dict[str, str], extra: dict[str, str], key: tuple[str, str]
) -> None:
    """For any request the signature is what the official library computes."""
    headers = {**extra, "x-acs-content-sha256": EMPTY_BODY_SHA256}
    request = TeaRequest()
    request.method, request.pathname, request.query, request.headers = "POST", "/", parameters, headers
    official = Utils.get_authorization(request, "ACS3-HMAC-SHA256", EMPTY_BODY_SHA256, *key)
    assert authorization(headers, canonical_query(parameters), *key) == official


@given(st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=5))
def test_query_carries_the_parameters(parameters: dict[str, str]) -> None:
    """What a server reads from the query is what was put into it."""
    query = canonical_query(parameters)
    assert dict(parse_qsl(query, keep_blank_values=True, separator="&")) == parameters
    assert query.isascii()
    assert " " not in query
    assert "+" not in query


def test_temporary_keys_sign_their_token() -> None:
    """With a security token, the token and the key's id are headers and signed; without, they are absent."""
    temporary = Credentials(access_key_id="STS.id", access_key_secret=Secret("secret"), security_token=Secret("token"))
    fixed = Credentials(access_key_id="id", access_key_secret=Secret("secret"))
    with_token, without = (
        signed_headers(
            action="A", version="V", host="h:8080", query="", credentials=key, timestamp=1698315752.9, nonce="n"
        )
        for key in (temporary, fixed)
    )
    assert with_token["x-acs-security-token"] == "token"
    assert with_token["x-acs-accesskey-id"] == "STS.id"
    assert (
        "SignedHeaders=accept;host;x-acs-accesskey-id;x-acs-action;x-acs-content-sha256;x-acs-date;"
        "x-acs-security-token;x-acs-signature-nonce;x-acs-version,"
    ) in with_token["Authorization"]
    assert "x-acs-security-token" not in without
    assert without["x-acs-date"] == "2023-10-26T10:22:32Z"
    assert without["host"] == "h:8080"
