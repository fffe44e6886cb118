"""The service as a pure function of requests and time, without HTTP: authentication, limit, faults, rules."""

import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable
from email.utils import formatdate
from random import Random
from typing import Final
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
from msgspec import Struct, field

from exporter.simulator.faults import FAULTS, Exchange, Faults, error_response, json_response
from exporter.simulator.fleet import Churn, Fleet, LaggingReplica, TaskList
from exporter.simulator.listing import Parameters, Variants, answer_body, list_page, look_up, read_parameters, respelled
from exporter.simulator.protocol import Request, Response, ServiceError, SimulatedAccount, Verifier
from exporter.simulator.task_maker import seeded

_SECOND = 1.0


class RequestQuota:
    """Admits at most `limit` requests in any window of one second; what is over it is refused and does not count."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._admitted: deque[float] = deque()

    def admit(self, now: float) -> bool:
        """Whether a request that arrives at `now` is within the limit."""
        while self._admitted and self._admitted[0] <= now - _SECOND:
            self._admitted.popleft()
        if len(self._admitted) >= self.limit:
            return False
        self._admitted.append(now)
        return True


class Latency(Struct, frozen=True):
    """The time of one direction: at least `one_way_seconds`, and up to `jitter_seconds` more."""

    one_way_seconds: float = 0.0
    jitter_seconds: float = 0.0

    def sample(self, random: Random) -> float:
        """Return how many seconds the next message takes."""
        return self.one_way_seconds + (random.random() * self.jitter_seconds if self.jitter_seconds else 0.0)


class Statistics(Struct):
    """Counts since the start."""

    requests: int = 0
    by_app: Counter[str] = field(default_factory=Counter)
    by_kind: Counter[str] = field(default_factory=Counter)
    by_error: Counter[str] = field(default_factory=Counter)
    by_fault: Counter[str] = field(default_factory=Counter)
    rejected_by_quota: Counter[str] = field(default_factory=Counter)  # by access key id
    busiest_second: Counter[str] = field(default_factory=Counter)
    """By access key id: the greatest number of requests within any one second."""


ACTION: Final = "ListRtcMPUTaskDetail"
VERSION: Final = "2016-11-01"

_SMALLEST_COMPRESSED_BYTES = 512


class Service:
    """ListRtcMPUTaskDetail for some accounts: the same seed, Unix time `now` and requests give the same answers."""

    def __init__(
        self,
        accounts: Iterable[SimulatedAccount],
        fleet: Fleet,
        *,
        now: Callable[[], float],
        seed: int = 0,
        latency: Latency | None = None,
        variants: Variants | None = None,
    ) -> None:
        self.accounts = {account.access_key_id: account for account in accounts}
        self.fleet = fleet
        self.now = now
        self.latency = latency or Latency()
        self.faults = Faults(seeded(seed, "faults"))
        self.churn = Churn(fleet, seeded(seed, "churn"), now())
        self.statistics = Statistics()
        self.quotas = {key: RequestQuota(account.requests_per_second) for key, account in self.accounts.items()}
        self._arrivals: dict[str, deque[float]] = {key: deque() for key in self.accounts}
        self._verifier = Verifier(self.accounts)
        self._random = seeded(seed, "answers")
        self._random_latency = seeded(seed, "latency")
        self._replica: LaggingReplica | None = None
        self._variants = Variants()
        self.variants = variants or Variants()

    @property
    def variants(self) -> Variants:
        """The answers to what is not documented; can be replaced at any time."""
        return self._variants

    @variants.setter
    def variants(self, variants: Variants) -> None:
        self._variants = variants
        self.fleet.changed_task_moves = variants.changed_task_moves
        self.fleet.stopped_task_stays_seconds = variants.stopped_task_stays_seconds
        if self._replica is not None and self._replica.lag_seconds != variants.lag_seconds:
            self._replica.close()
            self._replica = None
        if self._replica is None and variants.lag_seconds > 0:
            self._replica = LaggingReplica(self.fleet, variants.lag_seconds)

    def advance(self) -> None:
        """Let everything happen that is due by now: churn, removal of stopped tasks."""
        now = self.now()
        self.churn.advance(now)
        self.fleet.settle(now)

    def inbound_delay_seconds(self) -> float:
        """Return how long the next request is on its way to the service."""
        return self.latency.sample(self._random_latency)

    def handle(self, request: Request) -> Response:
        """Answer one HTTP request, signature and all."""
        self.advance()
        self.statistics.requests += 1
        server_time = self.now() + self.variants.clock_skew_seconds
        request_id = self._request_id()
        try:
            account = self._verifier.verify(request, server_time)
            parameters = _read_operation(request)
        except ServiceError as error:
            response = self._refuse(error, request_id)
        else:
            response = self._answer(account, parameters, request_id)
        headers = {**response.headers, "Date": formatdate(server_time, usegmt=True), "x-acs-request-id": request_id}
        body = response.body
        accepts_gzip = "gzip" in request.headers.get("accept-encoding", "")
        if self.variants.compression and accepts_gzip and len(body) >= _SMALLEST_COMPRESSED_BYTES:
            headers["Content-Encoding"] = "gzip"
            body = zlib.compress(body, level=1, wbits=31)
        delay_seconds = response.delay_seconds + self.latency.sample(self._random_latency)
        return msgspec.structs.replace(response, headers=headers, body=body, delay_seconds=delay_seconds)

    def body(self, parameters: Parameters) -> bytes:
        """Return the body of an answer to anyone: no signature, no limit, no faults; raises ServiceError."""
        self.advance()
        return self._body(parameters, self._request_id())

    def listed(self, app_id: str) -> list[bytes]:
        """Return all rows of an app in list order as they are spelled now; raises KeyError if there is no such app."""
        self.advance()
        return [respelled(body, self.variants.spelling) for body in self.fleet.bodies(app_id)]

    def _answer(self, account: SimulatedAccount, parameters: Parameters, request_id: str) -> Response:
        now = self.now()
        self._count(account.access_key_id, parameters, now)
        counted = self.variants.look_ups_counted or parameters.kind == "page"
        if counted and not self.quotas[account.access_key_id].admit(now):
            self.statistics.rejected_by_quota[account.access_key_id] += 1
            return self._refuse(
                ServiceError("Throttling.User", "Request was denied due to user flow control."), request_id
            )

        def good(asked: Parameters) -> Response:
            if asked.app_id not in account.apps:
                return self._refuse(_unknown_app(), request_id)
            try:
                return json_response(self._body(asked, request_id))
            except ServiceError as error:
                return self._refuse(error, request_id)

        name = self.faults.hit(parameters)
        if name is None:
            return good(parameters)
        self.statistics.by_fault[name] += 1
        return FAULTS[name].broken(Exchange(parameters, request_id, good))

    def _count(self, access_key_id: str, parameters: Parameters, now: float) -> None:
        self.statistics.by_app[parameters.app_id] += 1
        self.statistics.by_kind[parameters.kind] += 1
        arrivals, busiest = self._arrivals[access_key_id], self.statistics.busiest_second
        while arrivals and arrivals[0] <= now - _SECOND:
            arrivals.popleft()
        arrivals.append(now)
        busiest[access_key_id] = max(busiest[access_key_id], len(arrivals))

    def _body(self, parameters: Parameters, request_id: str) -> bytes:
        tasks = self._lists().get(parameters.app_id)
        if tasks is None:
            raise _unknown_app()
        if parameters.task_id:
            return answer_body(request_id, look_up(tasks, parameters, self.variants))
        return answer_body(request_id, list_page(tasks, parameters, self.variants, self._random))

    def _lists(self) -> dict[str, TaskList]:
        if self._replica is None:
            return self.fleet.apps
        self._replica.catch_up(self.now())
        return self._replica.apps if self._random.random() < self.variants.lag_share else self.fleet.apps

    def _refuse(self, error: ServiceError, request_id: str) -> Response:
        self.statistics.by_error[error.code] += 1
        return error_response(error, request_id)

    def _request_id(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4)).upper()


def _read_operation(request: Request) -> Parameters:
    if request.headers["x-acs-action"] != ACTION:
        raise ServiceError("InvalidAction.NotFound", "Specified api is not found.")
    if request.headers["x-acs-version"] != VERSION:
        raise ServiceError("InvalidVersion", "Specified parameter Version is not valid.")
    return read_parameters(dict(parse_qsl(request.query, keep_blank_values=True)))


def _unknown_app() -> ServiceError:
    return ServiceError("InvalidAppId", "The specified AppId is invalid.")
