"""What the simulator's tests share: a small fleet, a clock that does not move, and a signer of their own."""

import hashlib
import hmac
import itertools
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from exporter.simulator.fleet import Fleet
from exporter.simulator.listing import Variants
from exporter.simulator.protocol import Request, Response, SimulatedAccount
from exporter.simulator.service import ACTION, VERSION, Service
from tests.support.virtual_time import SetClock

START = 1_800_000_000.0
ACCOUNT = SimulatedAccount("key-id", "key-secret", ("app",))

_nonces = itertools.count()


def small_service(
    clock: SetClock, tasks: int = 0, *, account: SimulatedAccount = ACCOUNT, seed: int = 0, **variants: Any
) -> Service:
    """Return a service with one app, `app`, whose task-0 is its oldest."""
    fleet = Fleet(clock.now)
    for app_id in account.apps:
        fleet.add_app(app_id)
    for number in range(tasks):
        age = tasks - number
        fleet.create("app", {"AppId": "app", "TaskId": f"task-{number}"}, at=clock.now() - 10 * age)
    return Service([account], fleet, now=clock.now, seed=seed, variants=Variants(**variants))


def signed(
    parameters: Mapping[str, str],
    *,
    date: float = START,
    account: SimulatedAccount = ACCOUNT,
    headers: Mapping[str, str] | None = None,
    unsigned: Mapping[str, str] | None = None,
    method: str = "POST",
    body: bytes = b"",
) -> Request:
    """Return a signed request; `headers` are signed over the usual ones, `unsigned` are only sent."""
    query = "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(parameters.items()))
    to_sign = {
        "accept": "application/json",
        "host": "127.0.0.1:1234",
        "x-acs-action": ACTION,
        "x-acs-content-sha256": hashlib.sha256(body).hexdigest(),
        "x-acs-date": datetime.fromtimestamp(date, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": f"nonce-{next(_nonces)}",
        "x-acs-version": VERSION,
        **({"x-acs-security-token": account.security_token} if account.security_token else {}),
        **(headers or {}),
    }
    names = sorted(to_sign)
    lines = [method, "/", query, *(f"{name}:{to_sign[name]}" for name in names), "", ";".join(names)]
    canonical = "\n".join([*lines, to_sign["x-acs-content-sha256"]])
    string = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest()
    signature = hmac.new(account.access_key_secret.encode(), string.encode(), hashlib.sha256).hexdigest()
    authorization = (
        f"ACS3-HMAC-SHA256 Credential={account.access_key_id},SignedHeaders={';'.join(names)},Signature={signature}"
    )
    return Request(query, {**to_sign, "authorization": authorization, **(unsigned or {})}, method, "/", body)


def page_query(page_no: int = 1, page_size: int = 100, app_id: str = "app") -> dict[str, str]:
    """Return the parameters of one page."""
    return {"AppId": app_id, "PageNo": str(page_no), "PageSize": str(page_size)}


def code(response: Response) -> str:
    """Return the error code of an answer, empty where it is none."""
    return str(json.loads(response.body).get("Code", ""))


def task_ids(body: bytes) -> list[str]:
    """Return the TaskIds of an answer."""
    return [task["TaskId"] for task in json.loads(body)["MPUTasks"]]
