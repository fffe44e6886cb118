"""Health checks and reload over HTTP: `/-/healthy`, `/-/ready` and `/-/reload`."""

from collections.abc import Iterable
from typing import Final

from aiohttp import web

from exporter.web.responses import error_answer, probe_answer, text_answer
from exporter.web.view import View

HEALTHY_PATH: Final = "/-/healthy"
READY_PATH: Final = "/-/ready"


def probe_routes(view: View) -> Iterable[web.RouteDef]:
    """Return the health checks."""

    async def healthy(_request: web.Request) -> web.Response:
        return probe_answer("healthy", view.healthy())

    async def ready(_request: web.Request) -> web.Response:
        return probe_answer("ready", view.ready())

    return (web.get(HEALTHY_PATH, healthy), web.get(READY_PATH, ready))


_IS_OFF: Final = (
    "reloading over HTTP is switched off; start with --web.enable-lifecycle to allow it, or send SIGHUP to the process"
)


def lifecycle_routes(view: View, *, enabled: bool) -> Iterable[web.RouteDef]:
    """Return `/-/reload`: 200 when loaded, 403 if disabled, 500 with the mistakes of a refused configuration."""

    async def reload(request: web.Request) -> web.Response:
        if not enabled:
            return error_answer(request, 403, _IS_OFF)
        reason = await view.reload()
        if reason is not None:
            return error_answer(request, 500, f"the configuration is refused, the one before stays:\n{reason}")
        return text_answer("the configuration is loaded again\n")

    return (web.post("/-/reload", reload),)
