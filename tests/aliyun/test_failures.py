"""Every answer without a page is named as documented, in a sentence of our own."""

import json
from collections.abc import Mapping
from typing import NamedTuple

import pytest

from exporter.aliyun.errors import MAX_WAIT_SECONDS, ApiError, answer_failure, is_about_the_task
from exporter.core.collection_state import State
from tests.support.subtests import for_each

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


HTML = b"<html>blocked</html>"
LIMITED = {"x-ratelimit-user-api": "Limit:50,Remain:0,TimeLeft:2000,Reset:1"}
PAST = "Tue, 14 Nov 2023 22:13:10 GMT"
SOON = "Tue, 14 Nov 2023 22:13:50 GMT"


Refusals = list[tuple[int, str | None, Mapping[str, str]]]


class Row(NamedTuple):
    """One answer, and what it means."""

    status: int
    code: str | None
    state: State
    headers: Mapping[str, str] = {}
    wait_seconds: float | None = None
    retryable: bool = False
    body: bytes | None = None


def throttled(
    status: int, code: str | None, headers: Mapping[str, str], wait_seconds: float | None, body: bytes | None = None
) -> Row:
    """Return a row that is throttled."""
    return Row(status, code, State.THROTTLED, headers, wait_seconds, retryable=True, body=body)


def passing(status: int, code: str | None, state: State, body: bytes | None = None, **headers: str) -> Row:
    """Return a row whose request may succeed a moment later."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Row(status, code, state, named, retryable=True, body=body)


TABLE = [
    # Throttling, by status and code.
    *(throttled(429, code, {}, None) for code in ("Throttling.Api", "Whatever", None, "InvalidAppId", "Forbidden.RAM")),
    *(throttled(status, "Throttling", {}, None) for status in (200, 400, 403, 404, 503)),
    *(
        throttled(400, code, {}, None)
        for code in ("Throttling.User", "Rejected.Throttling", "THROTTLING.api", "AppThrottlingUser")
    ),
    throttled(429, None, {"Retry-After": "7"}, 7.0, HTML),
    throttled(503, None, LIMITED, 2.0, HTML),
    # Throttling, by the headers of a limiter, whatever the code.
    *(
        throttled(status, code, headers, wait_seconds)
        for status, code in (
            (400, "Unheard.Of"), (400, "InvalidParam"), (404, "TaskNotFound"), (404, "InvalidAccessKeyId.NotFound"),
            (403, "OperationDenied"), (408, None), (503, "ServiceUnavailable"),
        )
        for headers, wait_seconds in (
            ({"x-acs-retry-after": "1500"}, 1.5), ({"X-Acs-Retry-After": " 20 "}, 0.02), (LIMITED, 2.0),
            ({"x-ratelimit-user": "limit: 50, remain: 0"}, None),
            ({"x-ratelimit-user": "Remain:0,TimeLeft:300"}, 0.3),
            ({"x-ratelimit-user": "Remain:0,TimeLeft:-1", "Retry-After": "3"}, 3.0),
            ({"x-acs-retry-after": "1500", **LIMITED, "Retry-After": "60"}, 2.0),
            ({"x-acs-retry-after": "4000", **LIMITED}, 4.0), ({"x-acs-retry-after": "0", **LIMITED}, 2.0),
            ({"x-acs-retry-after": "-5", "x-ratelimit-user": "Remain:0"}, None),
            ({"x-acs-retry-after": "86400000"}, MAX_WAIT_SECONDS),
        )
    ),
    # Values that are as if absent.
    *(
        Row(400, "Unheard.Of", State.REQUEST_REJECTED, headers)
        for headers in (
            {"x-acs-retry-after": "0"}, {"x-acs-retry-after": "-1"}, {"x-acs-retry-after": "soon"},
            {"x-acs-retry-after": "1.5"}, {"x-acs-retry-after": "9" * 30},
            {"x-ratelimit-user-api": "Limit:50,Remain:3,TimeLeft:2000"}, {"x-ratelimit-user": "::,,Remain"},
            {"Retry-After": "0"}, {"Retry-After": "-3"}, {"Retry-After": "later"}, {"Retry-After": PAST},
        )
    ),
    throttled(429, None, {"x-acs-retry-after": "0", "Retry-After": "7"}, 7.0),
    # `Retry-After` alone.
    *(
        throttled(status, code, {"Retry-After": value}, wait_seconds)
        for status, code in ((400, "Unheard.Of"), (403, None), (409, "Whatever"), (400, "ServiceUnavailable"))
        for value, wait_seconds in (("7", 7.0), (SOON, 30.0), ("86400", MAX_WAIT_SECONDS))
    ),
    throttled(403, None, {"Retry-After": "7", "x-acs-retry-after": "junk"}, 7.0, HTML),
    *(
        Row(status, code, State.SERVER_ERROR, {"Retry-After": "7"}, 7.0, retryable=True)
        for status, code in ((503, "ServiceUnavailable"), (502, None), (500, "InternalError"), (503, "InvalidAppId"))
    ),
    Row(404, "InvalidAccessKeyId.NotFound", State.AUTH_ERROR, {"Retry-After": "7"}, 7.0),
    Row(400, "InvalidParam", State.REQUEST_REJECTED, {"Retry-After": "7"}, 7.0),
    Row(404, "TaskNotFound", State.REQUEST_REJECTED, {"Retry-After": "7"}, 7.0),
    # A deadline of the service's.
    passing(408, None, State.TIMEOUT),
    passing(408, None, State.TIMEOUT, HTML),
    passing(408, "InvalidTaskId", State.TIMEOUT),
    # The key.
    *(
        Row(status, code, State.AUTH_ERROR)
        for status, code in (
            (404, "InvalidAccessKeyId.NotFound"), (400, "InvalidAccessKeyId.Inactive"), (400, "InvalidAccessKeyId"),
            (400, "SignatureDoesNotMatch"), (400, "SignatureVersionNotSupported"),
            (400, "InvalidSecurityToken.Expired"), (400, "InvalidSecurityToken.Malformed"),
            (400, "InvalidSecurityToken.MismatchWithAccessKey"), (400, "MissingSecurityToken"), (403, "Forbidden"),
            (403, "Forbidden.RAM"), (200, "Forbidden.RAM"), (403, "NoPermission"), (401, "Whatever"), (403, None),
            (403, "InvalidParam"), (403, "InvalidTaskId"), (400, "InvalidTimeStamp.Expired"),
            (400, "IllegalTimestamp"),
        )
    ),
    passing(400, "SignatureNonceUsed", State.AUTH_ERROR),
    # The account, the app, the request.
    Row(403, "OperationDenied", State.NOT_ENABLED),
    Row(400, "InvalidAppId", State.APP_INVALID),
    Row(404, "AppInfoNotExist", State.APP_INVALID),
    *(
        Row(status, code, State.REQUEST_REJECTED)
        for status, code in (
            (400, "MissingParam"), (400, "InvalidParam"), (404, "TaskNotFound"), (404, "InvalidAction.NotFound"),
            (405, "Whatever"), (400, None),
        )
    ),
    # The service.
    *(
        passing(status, code, State.SERVER_ERROR)
        for status, code in (
            (500, "InternalError"), (503, "ServiceUnavailable"), (400, "ServiceUnavailable"), (200, "InternalError"),
            (502, None), (599, "Whatever"), (500, "InvalidAppId"), (500, "SignatureDoesNotMatch"),
            (503, "OperationDenied"), (500, "InvalidParam"), (500, "TaskNotFound"),
        )
    ),
    # Something in between.
    passing(302, None, State.NETWORK_ERROR),
    passing(307, "InvalidAppId", State.NETWORK_ERROR),
    passing(302, None, State.NETWORK_ERROR, HTML),
    # A 200 that is no page.
    passing(200, "Whatever", State.INVALID_RESPONSE),
    passing(206, None, State.INVALID_RESPONSE),
    # Answers that are no JSON object.
    *(
        passing(status, None, state, body)
        for status, state in (
            (400, State.NETWORK_ERROR), (401, State.NETWORK_ERROR), (403, State.NETWORK_ERROR),
            (404, State.NETWORK_ERROR), (502, State.SERVER_ERROR),
        )
        for body in (HTML, b"", b"\xff\xfe", b"[1]", b"{" * 99_999)
    ),
]  # fmt: skip


@for_each(TABLE, name=lambda row: f"{row.status}-{row.code}-{','.join(row.headers.values())}"[:60])
def test_each_answer_has_its_state(row: Row) -> None:
    """Each row of the documented table of answers ends in its state, with its wait, retried where that can help."""
    error = failure(row.status, row.code, body=row.body, headers=row.headers)
    assert (error.state, error.wait_seconds, error.retryable) == (row.state, row.wait_seconds, row.retryable)
    assert (error.status, error.code) == (row.status, row.code or "")
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
    "body",
    [
        b'{"code": "InvalidAppId", "requestid": "ABC-1"}',
        b'{"Recommend": "", "RequestId": "ABC-1", "Code": "InvalidAppId"}',
        b'{"CODE": "invalidappid", "REQUESTID": "ABC-1"}',
    ],
)
def test_keys_and_codes_are_read_without_case_and_order(body: bytes) -> None:
    """The keys of an error come in any order and case."""
    assert failure(400, body=body).state is State.APP_INVALID


@pytest.mark.parametrize(
    ("status", "code", "named"), [(204, None, "204"), (206, "Whatever", "206"), (200, "Whatever", "Whatever")]
)
def test_a_success_without_a_page_is_said_to_be_one(status: int, code: str | None, named: str) -> None:
    """A status such as 204 is named itself, not an error that the answer does not have."""
    reason = failure(status, code, body=b"" if code is None else None).reason
    assert named in reason
    assert ("error" in reason) == (status == 200)


GONE: Refusals = [
    (404, "TaskNotFound", {}), (400, "InvalidTaskId", {}), (400, "InvalidTaskId.Malformed", {}),
    (404, "MPUTask.NotExist", {}), (404, "LiveTaskInfoNotExist", {}), (410, "TASKDOESNOTEXIST", {}),
    (200, "InvalidTaskId.NotFound", {}), (400, "InvalidParam", {}),
    (400, "InvalidParam", {"x-acs-retry-after": "0", "Retry-After": "soon"}),
]  # fmt: skip
IN_DOUBT: Refusals = [
    (400, "InvalidParam", {"x-acs-retry-after": "10"}), (400, "InvalidParam", {"Retry-After": "1"}),
    (400, "InvalidParam", {"x-ratelimit-user": "Limit:50,Remain:0"}), (404, "TaskNotFound", {"Retry-After": "1"}),
    (404, "TaskNotFound", {"x-ratelimit-user-api": "Remain:0"}), (400, "Unheard.Of", {"x-ratelimit-user": "Remain:0"}),
    *(
        (status, code, {}) for status, code in (
            (400, "Rejected.Throttling"), (400, "InvalidTaskId.Throttling"), (400, "Unheard.Of"), (400, "MissingParam"),
            (400, "InvalidAppId.TaskNotFound"), (404, "InvalidAction.NotFound"), (404, "InvalidApi.NotFound"),
            (404, "AppInfoNotExist"), (404, "InvalidAccessKeyId.NotFound"), (400, "InvalidParameter.PageNo"),
            (400, "Blocked"), (400, "400"), (403, "TaskNotFound"), (403, "OperationDenied"), (408, "TaskNotFound"),
            (409, "Conflict"), (404, None), (302, "TaskNotFound"), (500, "TaskNotFound"), (200, "Whatever"),
            (200, "InvalidParam"),
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("status", "code", "headers"), GONE)
def test_a_code_about_the_task_means_that_it_is_gone(status: int, code: str, headers: Mapping[str, str]) -> None:
    """A lookup that is refused with a code about the task, or with InvalidParam, found no task."""
    assert is_about_the_task(failure(status, code, headers=headers))


@pytest.mark.parametrize(("status", "code", "headers"), IN_DOUBT)
def test_no_other_refusal_means_that_a_task_is_gone(status: int, code: str | None, headers: Mapping[str, str]) -> None:
    """Any other answer to a lookup leaves the task in doubt."""
    assert not is_about_the_task(failure(status, code, headers=headers))
