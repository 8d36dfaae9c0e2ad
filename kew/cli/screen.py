"""Shared by all commands: consoles that work in a pipe, safe printing of file names and errors, and stopping."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Coroutine
from typing import Any, NoReturn

from rich.console import Console
from rich.text import Text

CANNOT = 2
INTERRUPTED = 130
TERMINATED = 143


def console(*, stderr: bool = False) -> Console:
    """A console with colours and bars on a terminal, and plain lines elsewhere. It can print any character."""
    stream = sys.stderr if stderr else sys.stdout
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
    return Console(stderr=stderr, highlight=False, emoji=False)


def refuse(reason: object) -> NoReturn:
    """Print one line on stderr, and exit with code 2."""
    line = " ".join(printable(str(reason)).split())
    console(stderr=True).print(Text.assemble(("kew: ", "bold red"), line), soft_wrap=True)
    raise SystemExit(CANNOT)


def printable(text: str | bytes) -> str:
    """The text without control characters: a file's name may contain any."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


class Terminated(BaseException):
    """SIGTERM arrived while a command ran. Raised after all cleanup is done."""


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a command's coroutine. SIGINT and SIGTERM cancel it, so that it can release its tasks.

    It then raises KeyboardInterrupt or `Terminated`. (This is a program; the library never installs signal handlers.)
    """
    asked: list[int] = []

    async def with_signals() -> None:
        task = asyncio.current_task()
        assert task is not None

        def stop() -> None:
            asked.append(signal.SIGTERM)
            task.cancel()

        if os.name == "posix" and threading.current_thread() is threading.main_thread():
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
        await work

    try:
        asyncio.run(with_signals())
    except asyncio.CancelledError:
        if not asked:
            raise
        raise Terminated from None


class Complaints(logging.Handler):
    """Shows kew's warnings (an unreachable store, say) as dim lines, each of them once.

    Failures of tasks are not shown: the command reports them itself.
    """

    def __init__(self, target: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = target
        self._shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        message = record.getMessage()
        if not message.startswith("task ") and message not in self._shown:
            self._shown.add(message)
            self._console.print(Text(f"kew: {printable(message)}", style="dim"), soft_wrap=True)
