"""Where the code of a running attempt is at this moment: the line at which it waits, or works."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any, Final

from kew.app.fingerprints import is_own, is_users
from kew.app.working.runs import Run

MOST_FRAMES: Final = 200


def place_of_run(run: Run) -> str | None:
    """The innermost line of the user's code, else the innermost line of all: "/app/mails.py:42 (send)".

    Ask in the event loop's thread, but not from the run itself. None: its code has not begun.
    """
    package = run.task.call.function.partition(":")[0].partition(".")[0]
    found: FrameType | None = None
    is_found_users = False
    for frame in _frames(run):
        if is_own(frame):
            continue
        if is_users(frame, package):
            found, is_found_users = frame, True
        elif not is_found_users:
            found = frame
    return None if found is None else shown_place(found)


def shown_place(frame: FrameType) -> str:
    """ "/app/mails.py:42 (send)"."""
    code = frame.f_code
    text = f"{code.co_filename}:{frame.f_lineno} ({code.co_qualname})"
    return text.encode(errors="replace").decode()  # a file's name may be any bytes


def _frames(run: Run) -> Iterable[FrameType]:
    """From the outermost one."""
    if run.is_thread:
        return _of_thread(run.thread)
    return _of_coroutine(run.handle.get_coro()) if run.handle is not None else ()


def _of_thread(ident: int) -> list[FrameType]:
    frame, found = sys._current_frames().get(ident), list[FrameType]()
    while frame is not None and len(found) < MOST_FRAMES:
        found.append(frame)
        frame = frame.f_back
    return found[::-1]


def _of_coroutine(waiting: Any) -> Iterator[FrameType]:
    """Those of a coroutine, and of what it awaits: of each kind of awaitable that has a frame."""
    for _ in range(MOST_FRAMES):
        if waiting is None:
            return
        for kind in ("cr", "ag", "gi"):
            frame = getattr(waiting, f"{kind}_frame", None)
            if isinstance(frame, FrameType):
                yield frame
                waiting = getattr(waiting, f"{kind}_yieldfrom" if kind == "gi" else f"{kind}_await")
                break
        else:
            return
