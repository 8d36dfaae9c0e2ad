"""Starting an asyncio task at once, where Python can.

Its first step runs now, and one that never waits needs no turn.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from contextvars import Context
from typing import Any

IS_EAGER = sys.version_info >= (3, 12)


def spawn(
    work: Coroutine[Any, Any, None], *, name: str | None = None, context: Context | None = None
) -> asyncio.Task[None]:
    """A task of the running loop; eager from Python 3.12 on, unless the loop makes tasks of its own kind."""
    loop = asyncio.get_running_loop()
    if IS_EAGER and loop.get_task_factory() is None:
        more: dict[str, Any] = {"eager_start": True}
        return asyncio.Task(work, loop=loop, name=name, context=context, **more)
    return loop.create_task(work, name=name, context=context)
