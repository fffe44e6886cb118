"""Threads for blocking calls, some for each kind of work: calls that never return would fill asyncio's one pool."""

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from threading import Thread
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Worker:
    """Runs up to `threads` blocking calls in threads of its own; further ones wait: bound that wait."""

    def __init__(self, name: str, *, threads: int = 1) -> None:
        self._name = name
        self._free = asyncio.Semaphore(threads)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a call returns, or raise what it raises: RuntimeError in place of what would end the program.

        When this is cancelled, the call continues and keeps its thread until it returns.
        """
        await self._free.acquire()
        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        context = copy_context()
        try:
            Thread(
                target=_call,
                args=(outcome, self._free.release, lambda: context.run(function, *args, **kwargs)),
                name=self._name,
                daemon=True,
            ).start()
        except BaseException:
            self._free.release()
            raise
        return await outcome


def _call(outcome: asyncio.Future[Any], release: Callable[[], None], function: Callable[[], Any]) -> None:
    result, failure = None, None
    try:
        result = function()
    except Exception as error:  # noqa: BLE001 - it is the caller's
        failure = RuntimeError("a call ended by StopIteration") if isinstance(error, StopIteration) else error
    except BaseException as error:  # noqa: BLE001 - the event loop must not end by it
        failure = RuntimeError(f"a call ended by {type(error).__name__}")

    def settle() -> None:
        release()
        if outcome.cancelled():
            return
        if failure is None:
            outcome.set_result(result)
        else:
            outcome.set_exception(failure)

    try:
        outcome.get_loop().call_soon_threadsafe(settle)
    except RuntimeError:
        return  # the event loop is closed: the result is not needed
