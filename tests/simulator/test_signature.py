"""Verification of signatures."""

import pytest
from msgspec.structs import replace

from exporter.simulator.protocol import (
    Request,
    ServiceError,
    SimulatedAccount,
    Verifier,
    canonical_query,
)
from tests.simulator.support import ACCOUNT, START, page_query, signed

TEMPORARY = SimulatedAccount(
    "temporary", "secret", ("app",), security_token="token", security_token_expires_at=START + 100
)


def refused(request: Request, *, now: float = START, account: SimulatedAccount = ACCOUNT) -> str:
    """Return the code by which a request is refused, empty where it is accepted."""
    try:
        Verifier({account.access_key_id: account}).verify(request, now)
    except ServiceError as error:
        return error.code
    return ""


def test_a_query_is_sorted_and_quoted_before_it_is_signed() -> None:
    """Order and spelling on the wire do not matter: the canonical form is sorted and quoted as RFC 3986 says."""
    assert canonical_query("b=~&a=x+y&a=x%2Fy&c=") == "a=x%20y&a=x%2Fy&b=~&c="


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"authorization": ""}, "IncompleteSignature"),
        ({"authorization": "Basic a2V5OnNlY3JldA=="}, "IncompleteSignature"),
        ({"host": "elsewhere"}, "SignatureDoesNotMatch"),
        ({"x-acs-content-sha256": "0" * 64}, "SignatureDoesNotMatch"),
        ({"x-acs-signature-nonce": "another"}, "SignatureDoesNotMatch"),
        ({"x-acs-date": ""}, "IncompleteSignature"),
        ({"x-acs-date": "yesterday"}, "IllegalTimestamp"),
    ],
)
def test_what_was_changed_after_signing_is_refused(change: dict[str, str], expected: str) -> None:
    """Any header of the signed set that differs from what was signed is noticed."""
    request = signed(page_query())
    assert refused(replace(request, headers={**request.headers, **change})) == expected


def test_what_is_signed_otherwise_is_refused() -> None:
    """Another query, body, key or secret, and a nonce that is sent but not signed: that protects nothing."""
    request = signed(page_query())
    authorization = request.headers["authorization"].replace(";x-acs-signature-nonce", "")
    unsigned_nonce = {**request.headers, "authorization": authorization}
    assert refused(replace(request, query=request.query + "&TaskId=x")) == "SignatureDoesNotMatch"
    assert refused(replace(request, body=b"x")) == "SignatureDoesNotMatch"
    assert refused(replace(request, headers=unsigned_nonce)) == "IncompleteSignature"
    assert refused(signed(page_query(), account=SimulatedAccount("nobody", "", ()))) == "InvalidAccessKeyId.NotFound"
    assert refused(signed(page_query(), account=SimulatedAccount("key-id", "wrong", ()))) == "SignatureDoesNotMatch"


@pytest.mark.parametrize(("skew_seconds", "expected"), [(-901, True), (-899, False), (899, False), (901, True)])
def test_a_date_may_be_fifteen_minutes_off(skew_seconds: float, expected: bool) -> None:
    """Beyond fifteen minutes either way the date is refused."""
    code = refused(signed(page_query(), date=START + skew_seconds))
    assert code == ("InvalidTimeStamp.Expired" if expected else "")


def test_a_nonce_is_used_once() -> None:
    """The same request is refused the second time, another one is not."""
    verifier = Verifier({"key-id": ACCOUNT})
    request = signed(page_query())
    verifier.verify(request, START)
    with pytest.raises(ServiceError) as caught:
        verifier.verify(request, START + 1)
    assert caught.value.code == "SignatureNonceUsed"
    verifier.verify(signed(page_query()), START + 1)


def test_nonces_are_forgotten_when_their_dates_are_too_old() -> None:
    """The memory of nonces does not grow forever."""
    verifier = Verifier({"key-id": ACCOUNT})
    for hour in range(3):
        verifier.verify(signed(page_query(), date=START + 3600 * hour), START + 3600 * hour)
    assert len(verifier._nonces) == 1


def test_a_temporary_key_needs_its_token() -> None:
    """The token has to be there, be signed, be the key's own and be still good; a lasting key has none."""
    assert refused(signed(page_query(), account=TEMPORARY), account=TEMPORARY) == ""
    without = SimulatedAccount("temporary", "secret", ("app",))
    assert refused(signed(page_query(), account=without), account=TEMPORARY) == "MissingSecurityToken"
    only_sent = signed(page_query(), account=without, unsigned={"x-acs-security-token": "token"})
    assert refused(only_sent, account=TEMPORARY) == "IncompleteSignature"
    wrong = signed(page_query(), account=TEMPORARY, headers={"x-acs-security-token": "another"})
    assert refused(wrong, account=TEMPORARY) == "InvalidSecurityToken.MismatchWithAccessKey"
    late = signed(page_query(), account=TEMPORARY, date=START + 100)
    assert refused(late, now=START + 100, account=TEMPORARY) == "InvalidSecurityToken.Expired"
    of_lasting_key = signed(page_query(), account=TEMPORARY, headers={"x-acs-security-token": "token"})
    lasting = SimulatedAccount("temporary", "secret", ("app",))
    assert refused(of_lasting_key, account=lasting) == "InvalidSecurityToken.MismatchWithAccessKey"
