"""The service on a socket: the signed operation on `/`, and the control of it under `/-/`."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec import Meta, Struct
from yarl import URL

from exporter.simulator.faults import Fault
from exporter.simulator.fleet import Burst, Rates
from exporter.simulator.protocol import Request, Response
from exporter.simulator.service import Service

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BurstOrder(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /-/burst`."""

    kind: Burst
    app_id: str
    count: Annotated[int, Meta(ge=0, le=100_000)]


def control_routes(service: Service) -> list[web.RouteDef]:
    """Return the routes that look into the service and change it."""
    fleet, faults, churn = service.fleet, service.faults, service.churn

    def create(_: web.Request, body: dict[str, Any]) -> Any:
        return {"TaskId": fleet.create(str(body.get("AppId")), body)}

    def update(request: web.Request, body: dict[str, Any]) -> Any:
        fleet.update(request.match_info["app_id"], request.match_info["task_id"], body)
        return {}

    def delete(request: web.Request, _: None) -> Any:
        fleet.delete(request.match_info["app_id"], request.match_info["task_id"])
        return {}

    def set_rates(_: web.Request, rates: Rates) -> Any:
        churn.set_rates(rates, service.now())
        return rates

    def burst(_: web.Request, order: BurstOrder) -> Any:
        service.advance()
        churn.burst(order.kind, order.app_id, order.count, service.now())
        return order

    def add_fault(_: web.Request, fault: Fault) -> Any:
        faults.add(fault)
        return faults.active

    def clear_faults(request: web.Request, _: None) -> Any:
        faults.clear(request.query.get("name"))
        return faults.active

    def set_variants(_: web.Request, changes: dict[str, Any]) -> Any:
        service.variants = service.variants.changed(changes)
        return service.variants

    task = "/-/tasks/{app_id}/{task_id}"
    return [
        web.get("/-/fleet", _answering(lambda *_: _listed_fleet(service))),
        web.get("/-/stats", _answering(lambda *_: service.statistics)),
        web.get("/-/tasks", _answering(lambda request, _: _rows(service, request.query["app_id"]))),
        web.post("/-/tasks", _answering(create, dict[str, Any])),
        web.patch(task, _answering(update, dict[str, Any])),
        web.delete(task, _answering(delete)),
        web.post("/-/churn", _answering(set_rates, Rates)),
        web.post("/-/burst", _answering(burst, BurstOrder)),
        web.get("/-/faults", _answering(lambda *_: faults.active)),
        web.post("/-/faults", _answering(add_fault, Fault)),
        web.delete("/-/faults", _answering(clear_faults)),
        web.get("/-/variants", _answering(lambda *_: service.variants)),
        web.post("/-/variants", _answering(set_variants, dict[str, Any])),
    ]


def _rows(service: Service, app_id: str) -> list[msgspec.Raw]:
    return [msgspec.Raw(body) for body in service.listed(app_id)]


def _listed_fleet(service: Service) -> Any:
    apps = {}
    for app_id, tasks in service.fleet.apps.items():
        marked: dict[str, list[str]] = {}
        for row in tasks.order:
            for mark in row.marks:
                marked.setdefault(mark, []).append(row.task_id)
        apps[app_id] = {"rows": _rows(service, app_id), "marked": marked}
    return apps


def _answering(handle: Callable[[web.Request, Any], Any], body: Any = None) -> _Handler:
    """Return a handler of a JSON body of a type, None: nothing, that answers with JSON, or 4xx and a reason."""

    async def handler(request: web.Request) -> web.StreamResponse:
        status = 200
        try:
            given = None if body is None else msgspec.json.decode(await request.read(), type=body, strict=False)
            answer = handle(request, given)
        except KeyError as error:
            status, answer = 404, {"error": f"not there: {error.args[0]}"}
        except msgspec.MsgspecError as error:
            status, answer = 400, {"error": str(error)}
        return web.Response(status=status, body=msgspec.json.encode(answer), content_type="application/json")

    return handler


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
    """Listen on `host` and `port` (0: any free one) and answer for `service`; raises OSError."""
    application = web.Application(client_max_size=2**24)
    operation = partial(answered, service, longest_hang_seconds)
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


async def answered(service: Service, longest_hang_seconds: float, request: web.Request) -> web.StreamResponse:
    """Answer one request for the operation."""
    await asyncio.sleep(service.inbound_delay_seconds())
    response = service.handle(await _read(request))
    return await _deliver(request, response, longest_hang_seconds)


async def _tick(service: Service) -> None:
    """Let events happen without requests, so that a request never has to catch up for long."""
    while True:
        await asyncio.sleep(_TICK_SECONDS)
        service.advance()


async def _read(request: web.Request) -> Request:
    return Request(
        query=request.rel_url.raw_query_string,
        headers={name.lower(): value for name, value in request.headers.items()},
        method=request.method,
        path=request.rel_url.raw_path,
        body=await request.read(),
    )


async def _deliver(request: web.Request, response: Response, longest_hang_seconds: float) -> web.StreamResponse:
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
