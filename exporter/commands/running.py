"""How commands run their event loop."""

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

from exporter.aliyun.transport import use_fast_zlib

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end on a fast event loop."""
    use_fast_zlib()
    # What is imported stays: the garbage collector need not look through it again and again while a scrape waits.
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)
