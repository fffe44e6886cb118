"""`/-/healthy` and `/-/ready`: what orchestrators and load balancers ask."""

from collections.abc import Iterable
from typing import Final

from aiohttp import web

from exporter.web.answers import probe_answer
from exporter.web.view import View

HEALTHY_PATH: Final = "/-/healthy"
READY_PATH: Final = "/-/ready"


def routes(view: View) -> Iterable[web.RouteDef]:
    """Return the health checks."""

    async def healthy(_request: web.Request) -> web.Response:
        return probe_answer("healthy", view.healthy())

    async def ready(_request: web.Request) -> web.Response:
        return probe_answer("ready", view.ready())

    return (web.get(HEALTHY_PATH, healthy), web.get(READY_PATH, ready))
