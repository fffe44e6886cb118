"""The vendor's request signature V3 (ACS3-HMAC-SHA256); the signed query must be sent byte for byte."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from exporter.aliyun.credentials import Credentials

ALGORITHM: Final = "ACS3-HMAC-SHA256"
METHOD: Final = "POST"
PATH: Final = "/"
EMPTY_BODY_SHA256: Final = hashlib.sha256(b"").hexdigest()


def canonical_query(parameters: Mapping[str, str]) -> str:
    """Return the parameters as a query string: sorted by key, quoted as RFC 3986 has it."""
    return "&".join(f"{_quoted(key)}={_quoted(parameters[key])}" for key in sorted(parameters))


def signed_headers(
    *, action: str, version: str, host: str, query: str, credentials: Credentials, timestamp: float, nonce: str
) -> dict[str, str]:
    """Return the headers of a signed POST without body; each attempt needs another nonce, and the service's time."""
    headers = {
        "accept": "application/json",
        "host": host,
        "x-acs-action": action,
        "x-acs-content-sha256": EMPTY_BODY_SHA256,
        "x-acs-date": datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": nonce,
        "x-acs-version": version,
    }
    if credentials.security_token is not None:
        headers["x-acs-accesskey-id"] = credentials.access_key_id
        headers["x-acs-security-token"] = credentials.security_token.reveal()
    secret = credentials.access_key_secret.reveal()
    return {**headers, "Authorization": authorization(headers, query, credentials.access_key_id, secret)}


def authorization(headers: Mapping[str, str], query: str, access_key_id: str, access_key_secret: str) -> str:
    """Return the value of `Authorization` that signs all of `headers`, whose names are lower case."""
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
    canonical_request = f"{METHOD}\n{PATH}\n{query}\n{lines}\n{names}\n{headers['x-acs-content-sha256']}"
    string_to_sign = f"{ALGORITHM}\n{hashlib.sha256(canonical_request.encode()).hexdigest()}"
    signature = hmac.new(access_key_secret.encode(), string_to_sign.encode(), hashlib.sha256).hexdigest()
    return f"{ALGORITHM} Credential={access_key_id},SignedHeaders={names},Signature={signature}"


def _quoted(text: str) -> str:
    return quote(text, safe="~")
