"""The service on a socket: the signed operation on `/`, and the control of it under `/-/`."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any, Final, TypeVar

import msgspec
from aiohttp import web
from msgspec import Meta, Struct
from yarl import URL

from exporter.simulator.churn import Burst, Rates
from exporter.simulator.faults import Fault
from exporter.simulator.protocol import Request, Response
from exporter.simulator.service import Service

_T = TypeVar("_T")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BurstOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /-/burst`."""

    kind: Burst
    app_id: str
    count: Annotated[int, Meta(ge=0)]


def control_routes(service: Service) -> list[web.RouteDef]:
    """Return the routes that look into the service and change it."""
    controls = _Controls(service)
    task = "/-/tasks/{app_id}/{task_id}"
    return [
        web.get("/-/fleet", _answering(controls.fleet)),
        web.get("/-/stats", _answering(controls.stats)),
        web.get("/-/tasks", _answering(controls.tasks)),
        web.post("/-/tasks", _answering(controls.create)),
        web.patch(task, _answering(controls.update)),
        web.delete(task, _answering(controls.delete)),
        web.post("/-/churn", _answering(controls.churn)),
        web.post("/-/burst", _answering(controls.burst)),
        web.get("/-/faults", _answering(controls.faults)),
        web.post("/-/faults", _answering(controls.add_fault)),
        web.delete("/-/faults", _answering(controls.clear_faults)),
        web.get("/-/variants", _answering(controls.variants)),
        web.post("/-/variants", _answering(controls.set_variants)),
    ]


class _Controls:
    """One method for each route: returns what is answered as JSON."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def fleet(self, _request: web.Request) -> Any:
        """Return each app's rows in list order, and its tasks that are wrong on purpose, by what is wrong."""
        apps = {}
        for app_id, tasks in self._service.fleet.apps.items():
            marked: dict[str, list[str]] = {}
            for row in tasks.order:
                for mark in row.marks:
                    marked.setdefault(mark, []).append(row.task_id)
            apps[app_id] = {"rows": [msgspec.Raw(body) for body in self._service.listed(app_id)], "marked": marked}
        return apps

    async def stats(self, _request: web.Request) -> Any:
        """What arrived so far."""
        return self._service.statistics.as_json()

    async def tasks(self, request: web.Request) -> Any:
        """All rows of an app in list order."""
        return [msgspec.Raw(body) for body in self._service.listed(request.query["app_id"])]

    async def create(self, request: web.Request) -> Any:
        """Add the task in the body; its AppId says where."""
        body = _decoded(await request.read(), dict[str, Any])
        return {"TaskId": self._service.fleet.create(str(body.get("AppId")), body)}

    async def update(self, request: web.Request) -> Any:
        """Change a task by the merge patch in the body."""
        patch = _decoded(await request.read(), dict[str, Any])
        self._service.fleet.update(request.match_info["app_id"], request.match_info["task_id"], patch)
        return {}

    async def delete(self, request: web.Request) -> Any:
        """Stop a task."""
        self._service.fleet.delete(request.match_info["app_id"], request.match_info["task_id"])
        return {}

    async def churn(self, request: web.Request) -> Any:
        """Set the rates of events; what is not named is 0."""
        rates = _decoded(await request.read(), Rates)
        self._service.churn.set_rates(rates, self._service.now())
        return rates

    async def burst(self, request: web.Request) -> Any:
        """Let many events happen together."""
        order = _decoded(await request.read(), BurstOrder)
        self._service.advance()
        self._service.churn.burst(order.kind, order.app_id, order.count, self._service.now())
        return order

    async def faults(self, _request: web.Request) -> Any:
        """The faults that are switched on."""
        return self._service.faults.active

    async def add_fault(self, request: web.Request) -> Any:
        """Switch a fault on."""
        fault = _decoded(await request.read(), Fault)
        self._service.faults.add(fault)
        return self._service.faults.active

    async def clear_faults(self, request: web.Request) -> Any:
        """Switch off all faults, or those of `?name=`."""
        self._service.faults.clear(request.query.get("name"))
        return self._service.faults.active

    async def variants(self, _request: web.Request) -> Any:
        """The variants as they are."""
        return self._service.variants

    async def set_variants(self, request: web.Request) -> Any:
        """Change the variants that the body names."""
        self._service.variants = self._service.variants.changed(_decoded(await request.read(), dict[str, Any]))
        return self._service.variants


def _answering(handle: Callable[[web.Request], Awaitable[Any]]) -> _Handler:
    """Return a handler that answers with JSON, and with 4xx and a reason where the request makes no sense."""

    async def handler(request: web.Request) -> web.StreamResponse:
        """Answer one control request."""
        status = 200
        try:
            answer = await handle(request)
        except KeyError as error:
            status, answer = 404, {"error": f"not there: {error.args[0]}"}
        except msgspec.MsgspecError as error:
            status, answer = 400, {"error": str(error)}
        return web.Response(status=status, body=msgspec.json.encode(answer), content_type="application/json")

    return handler


def _decoded(body: bytes, kind: type[_T]) -> _T:
    """Read a body, lenient about numbers and booleans that are strings."""
    return msgspec.json.decode(body, type=kind, strict=False)


LONGEST_HANG_SECONDS: Final = 120.0
_TICK_SECONDS: Final = 0.2


class RunningServer:
    """A server that listens; `url` is where."""

    def __init__(self, url: str, runner: web.AppRunner, ticker: asyncio.Task[None]) -> None:
        self.url = url
        self._runner = runner
        self._ticker = ticker

    async def close(self) -> None:
        """Stop listening, end what is going on, and return when that is done."""
        self._ticker.cancel()
        with suppress(asyncio.CancelledError):
            await self._ticker
        await self._runner.cleanup()


async def start(
    service: Service, host: str = "127.0.0.1", port: int = 0, *, longest_hang_seconds: float = LONGEST_HANG_SECONDS
) -> RunningServer:
    """Listen on `host` and `port` (0: any free one) and answer for `service`.

    A request that is to hang is cut off after `longest_hang_seconds`.

    Raises:
        OSError: The address can't be listened on.
    """
    application = web.Application(client_max_size=2**24)

    async def operation(request: web.Request) -> web.StreamResponse:
        """Answer the signed operation."""
        await asyncio.sleep(service.inbound_delay_seconds())
        response = service.handle(await _read(request))
        return await _deliver(request, response, longest_hang_seconds)

    application.add_routes([web.post("/", operation), web.get("/", operation, allow_head=False)])
    application.add_routes(control_routes(service))
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
    except OSError:
        await runner.cleanup()
        raise
    bound_port = runner.addresses[0][1]
    ticker = asyncio.create_task(_tick(service), name="simulator-churn")
    return RunningServer(str(URL.build(scheme="http", host=host, port=bound_port)), runner, ticker)


async def _tick(service: Service) -> None:
    """Let things happen though nobody asks, so that a request never has to catch up for long."""
    while True:
        await asyncio.sleep(_TICK_SECONDS)
        service.advance()


async def _read(request: web.Request) -> Request:
    """Return the request as the pure core wants it."""
    return Request(
        query=request.rel_url.raw_query_string,
        headers={name.lower(): value for name, value in request.headers.items()},
        method=request.method,
        path=request.rel_url.raw_path,
        body=await request.read(),
    )


async def _deliver(request: web.Request, response: Response, longest_hang_seconds: float) -> web.StreamResponse:
    """Bring the answer to the client, or fail as the response says."""
    await asyncio.sleep(response.delay_seconds)
    transport = request.transport
    if response.delivery == "hang":
        await asyncio.sleep(longest_hang_seconds)
    if response.delivery != "answer" and transport is not None:
        _reset(transport)
    return web.Response(status=response.status, headers=dict(response.headers), body=response.body)


def _reset(transport: asyncio.Transport) -> None:
    """Cut the connection so that the client sees a reset, not an end."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
