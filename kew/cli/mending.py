"""What an operator can do about a task that doesn't run: a command for each reason."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Final

from kew import Explanation, Reason, TaskInfo
from kew.domain.explaining import Code

COMMANDS: Final[Mapping[Code, str]] = {
    Code.NO_PROCESS: "kew worker MODULE:MANAGER",
    Code.FUNCTION_UNKNOWN: "start a worker that registers it, or: kew task cancel {task}",
    Code.PAUSED: "kew queue resume {queue}",
    Code.QUEUE_SNOOZED: "kew queue resume {queue}",
    Code.BREAKER_OPEN: "kew breaker close {queue}",
    Code.RATE: "kew queue set {queue} rate=COUNT/DURATION",
    Code.DEFERRED: "kew task run {task}",
    Code.RETRYING: "kew task run {task}",
    Code.SNOOZED: "kew task run {task}",
    Code.SLOTS_FULL: "kew queue set {queue} max_workers=NUMBER",
    Code.KEY_FULL: "kew key set {queue} {key} max_workers=NUMBER",
    Code.KEY_RATE: "kew key set {queue} {key} rate=COUNT/DURATION",
    Code.HOST_BUSY: "start another worker: kew worker MODULE:MANAGER",
}
"""Reasons that no command ends, such as other tasks that come first, are left out."""
REPLAYED: Final = ("failed", "cancelled")


def mending(explanation: Explanation, info: TaskInfo) -> list[str]:
    """The commands, in the order of the reasons; each once."""
    names = {"task": info.task_id, "queue": info.queue_name, "key": info.key or ""}
    quoted = {name: shlex.quote(text) for name, text in names.items()}
    if info.status in REPLAYED:
        return [f"kew task replay {quoted['task']}"]
    found = [_command(reason, quoted) for reason in explanation.reasons]
    return [*dict.fromkeys(filter(None, found))]


def _command(reason: Reason, names: Mapping[str, str]) -> str:
    command = COMMANDS.get(Code(reason.code), "").format_map(names)
    if reason.holders and command:
        command += f", or kew task cancel {shlex.quote(reason.holders[0].task_id)}"
    return command
