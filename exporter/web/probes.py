"""`/-/healthy` and `/-/ready`: what orchestrators and load balancers ask."""

from collections.abc import Iterable

from aiohttp import web

from exporter.web.answers import probe_answer
from exporter.web.view import View


def routes(view: View) -> Iterable[web.RouteDef]:
    """Return the health checks."""

    async def healthy(_request: web.Request) -> web.Response:
        return probe_answer("healthy", view.healthy())

    async def ready(_request: web.Request) -> web.Response:
        return probe_answer("ready", view.ready())

    return (web.get("/-/healthy", healthy), web.get("/-/ready", ready))
