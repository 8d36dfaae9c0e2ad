"""Telling Ctrl-C from code that raises KeyboardInterrupt itself."""

from __future__ import annotations

import dis
import functools
import signal
import traceback
from types import CodeType, TracebackType
from typing import Any, Final

RAISING: Final = ("RAISE_VARARGS", "RERAISE")


def is_interrupt(error: BaseException) -> bool:
    """Whether this is a KeyboardInterrupt that a signal raised: it is the program's, whichever code it hit.

    A handler written in Python raises it in its own frame. Python's default handler has no frame and strikes
    between two instructions, never at a `raise`. What code or a library raises itself is an error like others.
    """
    if not isinstance(error, KeyboardInterrupt):
        return False
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        return not _is_raised_by_code(error.__traceback__)
    code = _code_of(handler)
    return any(frame.f_code is code for frame, _ in traceback.walk_tb(error.__traceback__))


def _is_raised_by_code(last: TracebackType | None) -> bool:
    if last is None:
        return True
    while last.tb_next is not None:
        last = last.tb_next
    instruction = last.tb_frame.f_code.co_code[last.tb_lasti]
    return dis.opname[instruction] in RAISING


def _code_of(handler: Any) -> CodeType | None:
    """The code of a function, a method or a partial of one."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    code: CodeType | None = getattr(handler, "__code__", None)
    return code
