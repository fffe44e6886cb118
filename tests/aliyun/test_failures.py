"""Every answer without a page is named as documented, in a sentence of our own."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.aliyun.errors import ApiError
from exporter.aliyun.failures import MAX_WAIT_SECONDS, answer_failure, is_about_the_task
from exporter.state import State

NOW = 1_700_000_000.0
MESSAGE = "GET&%2F&AccessKeyId%3Dsecret"


def failure(
    status: int, code: str | None = None, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> ApiError:
    """Return what an answer means."""
    if body is None:
        content = {"RequestId": "ABC-1", "HostId": "h", "Code": code, "Message": MESSAGE, "Recommend": MESSAGE}
        body = json.dumps(content).encode()
    return answer_failure(status, headers or {}, body, now=NOW)


@pytest.mark.parametrize(
    ("status", "code", "state", "retryable"),
    [
        (400, "Throttling", State.THROTTLED, True),
        (400, "Throttling.User", State.THROTTLED, True),
        (429, "Throttling.Api", State.THROTTLED, True),
        (503, "Throttling", State.THROTTLED, True),
        (429, "Whatever", State.THROTTLED, True),
        (404, "InvalidAccessKeyId.NotFound", State.AUTH_ERROR, False),
        (400, "InvalidAccessKeyId.Inactive", State.AUTH_ERROR, False),
        (400, "SignatureDoesNotMatch", State.AUTH_ERROR, False),
        (400, "SignatureNonceUsed", State.AUTH_ERROR, True),
        (400, "InvalidSecurityToken.Expired", State.AUTH_ERROR, False),
        (400, "InvalidSecurityToken.Malformed", State.AUTH_ERROR, False),
        (400, "InvalidSecurityToken.MismatchWithAccessKey", State.AUTH_ERROR, False),
        (400, "MissingSecurityToken", State.AUTH_ERROR, False),
        (403, "Forbidden", State.AUTH_ERROR, False),
        (403, "Forbidden.RAM", State.AUTH_ERROR, False),
        (403, "NoPermission", State.AUTH_ERROR, False),
        (401, "Whatever", State.AUTH_ERROR, False),
        (400, "InvalidTimeStamp.Expired", State.AUTH_ERROR, False),
        (400, "IllegalTimestamp", State.AUTH_ERROR, False),
        (403, "OperationDenied", State.NOT_ENABLED, False),
        (400, "InvalidAppId", State.APP_INVALID, False),
        (404, "AppInfoNotExist", State.APP_INVALID, False),
        (400, "MissingParam", State.REQUEST_REJECTED, False),
        (400, "InvalidParam", State.REQUEST_REJECTED, False),
        (404, "TaskNotFound", State.REQUEST_REJECTED, False),
        (500, "InternalError", State.SERVER_ERROR, True),
        (503, "ServiceUnavailable", State.SERVER_ERROR, True),
        (400, "ServiceUnavailable", State.SERVER_ERROR, True),
        (502, None, State.SERVER_ERROR, True),
        (500, "InvalidAppId", State.SERVER_ERROR, True),
        (500, "SignatureDoesNotMatch", State.SERVER_ERROR, True),
        (503, "OperationDenied", State.SERVER_ERROR, True),
        (500, "InvalidParam", State.SERVER_ERROR, True),
        (200, "Throttling", State.THROTTLED, True),
        (200, "Whatever", State.INVALID_RESPONSE, True),
        (302, None, State.NETWORK_ERROR, True),
    ],
)
def test_codes_and_statuses_have_their_state(status: int, code: str | None, state: State, *, retryable: bool) -> None:
    """Each code, and each status without one, ends in its state; a 5xx is the service's failure whatever it says."""
    error = failure(status, code)
    assert (error.state, error.retryable) == (state, retryable)
    assert (error.status, error.code, error.request_id) == (status, code or "", "ABC-1")
    assert MESSAGE not in str(error)
    assert "\n" not in str(error)


def test_each_known_code_has_its_own_sentence() -> None:
    """What to do differs from code to code, and so does the sentence."""
    codes = [
        "InvalidAccessKeyId.NotFound", "InvalidAccessKeyId.Inactive", "SignatureDoesNotMatch", "SignatureNonceUsed",
        "InvalidSecurityToken.Expired", "InvalidSecurityToken.Malformed", "InvalidSecurityToken.MismatchWithAccessKey",
        "MissingSecurityToken", "Forbidden", "Forbidden.RAM", "InvalidTimeStamp.Expired", "OperationDenied",
        "InvalidAppId", "AppInfoNotExist", "MissingParam", "InvalidParam", "InternalError", "ServiceUnavailable",
    ]  # fmt: skip
    sentences = {failure(400, code).reason for code in codes}
    assert len(sentences) == len(codes)
    assert "live:ListRtcMPUTaskDetail" in failure(403, "Forbidden.RAM").reason


@pytest.mark.parametrize(
    ("status", "state"), [(403, State.NETWORK_ERROR), (404, State.NETWORK_ERROR), (502, State.SERVER_ERROR)]
)
@pytest.mark.parametrize("body", [b"<html>blocked</html>", b"", b"\xff\xfe", b"[1]", b"{" * 99_999])
def test_html_in_between_is_told_from_the_service(status: int, state: State, body: bytes) -> None:
    """A 4xx that is no JSON object came from something in between; a 5xx is the server's, whatever its body."""
    assert failure(status, body=body).state is state


@pytest.mark.parametrize(
    "body",
    [
        b'{"code": "InvalidAppId", "requestid": "ABC-1"}',
        b'{"Recommend": "", "RequestId": "ABC-1", "Code": "InvalidAppId"}',
        b'{"CODE": "invalidappid", "REQUESTID": "ABC-1"}',
    ],
)
def test_keys_and_codes_are_read_without_case_and_order(body: bytes) -> None:
    """The keys of an error come in any order and case."""
    error = failure(400, body=body)
    assert (error.state, error.request_id) == (State.APP_INVALID, "ABC-1")


@pytest.mark.parametrize(
    ("headers", "wait_seconds"),
    [
        ({"x-acs-retry-after": "1500"}, 1.5),
        ({"X-Acs-Retry-After": "soon"}, None),
        ({"x-ratelimit-user-api": "Limit:50,Remain:0,TimeLeft:2000,Reset:1"}, 2.0),
        ({"x-ratelimit-user-api": "limit: 50, remain: 0"}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0),
        ({"Retry-After": "Tue, 14 Nov 2023 22:13:10 GMT"}, 0.0),
        ({"Retry-After": "86400"}, MAX_WAIT_SECONDS),
    ],
)
@pytest.mark.parametrize(("status", "code"), [(400, "Unheard.Of"), (503, "ServiceUnavailable"), (429, "Throttling")])
def test_headers_tell_of_throttling(
    headers: dict[str, str], wait_seconds: float | None, status: int, code: str
) -> None:
    """On an error any of the three headers means throttling, and says how long to wait, within bounds."""
    error = failure(status, code, headers=headers)
    assert (error.state, error.wait_seconds) == (State.THROTTLED, wait_seconds)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-ratelimit-user-api": "Limit:50,Remain:3,TimeLeft:2000"},
        {"Retry-After": "later"},
        {"x-ratelimit-user-api": "::,,Remain"},
    ],
)
def test_other_headers_tell_nothing(headers: dict[str, str]) -> None:
    """A limit that is not used up, or a header that can't be read, leaves the error what it is."""
    error = failure(400, "Unheard.Of", headers=headers)
    assert (error.state, error.wait_seconds) == (State.REQUEST_REJECTED, None)


def test_a_definite_code_outweighs_a_throttling_header() -> None:
    """A wrong key stays a wrong key though the limit happens to be used up."""
    headers = {"x-ratelimit-user-api": "Limit:50,Remain:0,TimeLeft:900"}
    assert failure(404, "InvalidAccessKeyId.NotFound", headers=headers).state is State.AUTH_ERROR


@pytest.mark.parametrize(
    ("status", "code", "is_unknown"),
    [
        (404, "TaskNotFound", True),
        (400, "InvalidTaskId", True),
        (400, "InvalidParam", True),
        (400, "MissingParam", False),
        (400, "InvalidAppId", False),
        (404, "AppInfoNotExist", False),
        (404, "InvalidAccessKeyId.NotFound", False),
        (400, "Throttling.User", False),
        (403, "OperationDenied", False),
        (409, "Conflict", False),
        (404, None, False),
        (500, "TaskNotFound", False),
    ],
)
def test_only_a_refusal_about_the_task_means_that_it_is_gone(
    status: int, code: str | None, *, is_unknown: bool
) -> None:
    """A code of authentication, throttling or the app is never taken for a task that does not exist."""
    assert is_about_the_task(failure(status, code)) is is_unknown


@given(
    status=st.integers(min_value=200, max_value=599),
    body=st.binary(max_size=40) | st.text().map(lambda text: json.dumps({"Code": text, "RequestId": text}).encode()),
    headers=st.dictionaries(
        st.sampled_from(["x-acs-retry-after", "x-ratelimit-user-api", "retry-after"]), st.text(max_size=30)
    ),
)
def test_no_answer_breaks_it(status: int, body: bytes, headers: dict[str, str]) -> None:
    """Whatever comes back ends in one clean line, a bounded wait and a code that can stand in a log."""
    error = failure(status, body=body, headers=headers)
    assert str(error).isprintable()
    assert error.code.isascii()
    assert error.wait_seconds is None or 0 <= error.wait_seconds <= MAX_WAIT_SECONDS
