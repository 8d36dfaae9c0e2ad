"""What is kept of an attempt's error: its fingerprint, equal for failures of one cause, and its traceback."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final

from kew.app.failures import failure_causes, text_of
from kew.domain.reports import Report

MAX_TRACEBACK_BYTES: Final = 4096
MAX_MESSAGE_BYTES: Final = 1024
MOST_FRAMES: Final = 30  # of one traceback, the innermost ones
CUT: Final = "[...]\n"
OWN: Final = "kew"
PARTS: Final = ("stdlib", "platstdlib", "purelib", "platlib")


def report_of(error: BaseException, function: str, *, keeps_traceback: bool) -> Report:
    """The report of an attempt of this function, a name as the store has it. User code can't make it fail."""
    leaf = next(iter(failure_causes(error).leaves), error)
    try:
        place = _place(leaf.__traceback__, function)
        text = _traceback(error) if keeps_traceback else ""
    except Exception:  # noqa: BLE001 - modules and frames may be of any kind
        place, text = function, ""
    return Report(
        group=f"{_kind(leaf)}@{place}",
        kind=_kind(leaf),
        message=_cut(text_of(leaf), MAX_MESSAGE_BYTES),
        traceback=text,
    )


def _kind(error: BaseException) -> str:
    """The error's type, with its module if it is neither Python's nor kew's."""
    kind = type(error)
    module = str(kind.__module__)
    is_short = module == "builtins" or module.partition(".")[0] == OWN
    return kind.__qualname__ if is_short else f"{module}.{kind.__qualname__}"


# --- where it failed


def _place(trace: TracebackType | None, function: str) -> str:
    """Module and function of the innermost frame of the user's code; if there is none, the task's function."""
    package = function.partition(":")[0].partition(".")[0]
    found = None
    for frame in _frames(trace):
        if is_users(frame, package):
            found = frame
    if found is None:
        return function.rpartition("/")[2]  # of a closure, without its process
    return f"{found.f_globals.get('__name__', '?')}:{found.f_code.co_qualname}"


def _frames(trace: TracebackType | None) -> Iterator[FrameType]:
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def is_users(frame: FrameType, package: str) -> bool:
    """Code beside the task's function in its package, wherever that is installed, or that no library contains."""
    module = str(frame.f_globals.get("__name__", ""))
    if module.partition(".")[0] in (package, "__main__"):
        return True
    file = frame.f_code.co_filename
    return not file.startswith("<frozen") and not file.startswith(_libraries())


@cache
def _libraries() -> tuple[str, ...]:
    """Where Python, its packages and kew are."""
    found = sysconfig.get_paths()
    own = str(Path(__file__).parents[1])
    return tuple(f"{path}/" for path in (own, *(found[part] for part in PARTS)))


# --- the traceback


def _traceback(error: BaseException) -> str:
    """The end of the traceback as Python prints it, from the user's code on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and is_own(trace.tb_frame):
        trace = trace.tb_next
    whole = traceback.TracebackException(
        type(error), error, trace, limit=-MOST_FRAMES, compact=True
    )
    text = "".join(whole.format())
    if len(text.encode("utf-8", "replace")) <= MAX_TRACEBACK_BYTES:
        return text
    end = text.encode("utf-8", "replace")[len(CUT) - MAX_TRACEBACK_BYTES :]
    return CUT + end.decode("utf-8", "ignore")


def is_own(frame: FrameType) -> bool:
    """kew's code."""
    return frame.f_code.co_filename.startswith(_libraries()[0])


def _cut(text: str, most: int) -> str:
    return text.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")
