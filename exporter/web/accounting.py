"""What holds for every request: a failure becomes an answer, and every answer is counted."""

from typing import Final

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from exporter.web.answers import error_answer
from exporter.web.api.query import BadQueryError
from exporter.web.known_names import UnknownNameError
from exporter.web.view import View

_CLIENT_WENT_AWAY: Final = 499
"""Counted, never sent: what other servers too call an answer that nobody waited for."""


def accounting(view: View) -> Middleware:
    """Return a middleware that turns every failure into an answer and reports every answer."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        template = "other" if resource is None else resource.canonical
        try:
            response = await handler(request)
        except web.HTTPException as refused:
            response = _refusal(request, refused)
        except BadQueryError as error:
            response = error_answer(request.path, 400, str(error))
        except UnknownNameError as error:
            response = error_answer(request.path, 404, str(error))
        except ConnectionError:
            view.request_finished(template, _CLIENT_WENT_AWAY)
            raise
        except Exception:  # noqa: BLE001 - whatever it was: the client gets no traceback, the log does
            structlog.get_logger().exception("a request failed inside the exporter", path=template)
            response = error_answer(request.path, 500, "internal error: see the exporter's log")
        view.request_finished(template, response.status)
        return response

    return answer


def _refusal(request: web.Request, refused: web.HTTPException) -> web.Response:
    """Say that a path or a method is not served."""
    response = error_answer(request.path, refused.status, f"{refused.reason}: {request.method} {request.path}")
    if hdrs.ALLOW in refused.headers:
        response.headers[hdrs.ALLOW] = refused.headers[hdrs.ALLOW]
    return response
