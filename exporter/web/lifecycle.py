"""`POST /-/reload`: takes on the configuration as it stands now, where operators allow that over HTTP."""

from collections.abc import Iterable
from typing import Final

from aiohttp import web

from exporter.web.answers import error_answer, text_answer
from exporter.web.view import View

_IS_OFF: Final = (
    "reloading over HTTP is switched off; start with --web.enable-lifecycle to allow it, or send SIGHUP to the process"
)


def lifecycle_routes(view: View, *, enabled: bool) -> Iterable[web.RouteDef]:
    """Return the route: 200 once the new configuration is in force, 403 where it is switched off, 500 with every
    mistake of a configuration that was refused, while the one before stays.
    """  # noqa: D205 - the codes belong together

    async def reload(request: web.Request) -> web.Response:
        if not enabled:
            return error_answer(request.path, 403, _IS_OFF)
        reason = await view.reload()
        if reason is not None:
            return error_answer(request.path, 500, f"the configuration is refused, the one before stays:\n{reason}")
        return text_answer("the configuration is loaded again\n")

    return (web.post("/-/reload", reload),)
