"""Failed attempts between Python and Redis: `lua/include/dead.lua` says how they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from kew.domain.attempts import FailedAttempt, HowFailed
from kew.domain.reports import Report
from kew.domain.requests import LifeRef

TICKET_DIGITS: Final = 12
SAME: Final = b"="  # the traceback is that of the next attempt
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[str, str]).decode


def member(ticket: int, task_id: str) -> bytes:
    """A task's entry in the indexes."""
    return f"{ticket:0{TICKET_DIGITS}d}{task_id}".encode()


def members(refs: Sequence[LifeRef]) -> list[bytes]:
    """Those of some tasks."""
    return [member(ref.life.ticket, ref.task_id) for ref in refs]


def parted(entry: bytes) -> tuple[int, str]:
    """The ticket and the id of an entry."""
    return int(entry[:TICKET_DIGITS]), entry[TICKET_DIGITS:].decode()


def message_of(report: Report) -> bytes:
    """The error's type and message, as they are kept."""
    return _encode((report.kind, report.message)) if report.kind or report.message else b""


def failure_arguments(delay_ms: int, error: bytes, report: Report) -> tuple[str, bytes]:
    """The last two arguments of a failure's settlement."""
    message, traceback = message_of(report), report.traceback.encode("utf-8", "replace")
    number = f"{delay_ms} {len(error)} {report.group or HowFailed.FAILED} {len(message)}"
    return number, error + message + traceback


def read(texts: Sequence[bytes]) -> list[FailedAttempt]:
    """The attempts of one task, oldest first."""
    found: list[FailedAttempt] = []
    traceback = ""
    for text in reversed(texts):
        attempt = _read(text, traceback)
        traceback = attempt.traceback
        found.append(attempt)
    return found[::-1]


def _read(text: bytes, next_traceback: str) -> FailedAttempt:
    line, _, rest = text.partition(b"\n")
    number, at, ran_ms, process, how, group, size = line.split(b" ")
    is_same = size.endswith(SAME)
    message_bytes = int(size.rstrip(SAME))
    kind, message = _decode(rest[:message_bytes]) if message_bytes else ("", "")
    return FailedAttempt(
        number=int(number),
        at=int(at),
        ran_ms=int(ran_ms),
        process="" if process == b"-" else process.decode(),
        how=_how(how.decode()),
        group=group.decode(),
        kind=kind,
        message=message,
        traceback=next_traceback if is_same else rest[message_bytes:].decode("utf-8", "replace"),
    )


def _how(name: str) -> HowFailed:
    """A way that a later version named is not known here."""
    return HowFailed(name) if name in set(HowFailed) else HowFailed.UNKNOWN
