"""What all commands share: consoles that are sane when piped, text from strangers made safe, and how to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn

from rich.console import Console
from rich.text import Text

CANNOT = 2
INTERRUPTED = 130
TERMINATED = 143


def console(*, stderr: bool = False) -> Console:
    """Colours and bars on a terminal, plain lines elsewhere; no character makes it fail."""
    stream = sys.stderr if stderr else sys.stdout
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="replace")
    return Console(stderr=stderr, highlight=False, emoji=False)


def refuse(reason: object) -> NoReturn:
    """One line on stderr, and exit code 2."""
    line = " ".join(printable(str(reason)).split())
    console(stderr=True).print(Text.assemble(("kew: ", "bold red"), line), soft_wrap=True)
    raise SystemExit(CANNOT)


def printable(text: str | bytes) -> str:
    """Text that a terminal shows and doesn't obey: a file's name may hold anything."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


class Terminated(BaseException):
    """SIGTERM came while a command ran; everything was unwound."""


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a command's coroutine. SIGINT and SIGTERM cancel it, so that it can hand back what it holds.

    Then raises KeyboardInterrupt or `Terminated`. A program may install signal handlers; the library never does.
    """
    asked: list[int] = []

    async def with_signals() -> None:
        task = asyncio.current_task()
        assert task is not None

        def stop() -> None:
            asked.append(signal.SIGTERM)
            task.cancel()

        if os.name == "posix":
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
        await work

    try:
        asyncio.run(with_signals())
    except asyncio.CancelledError:
        if not asked:
            raise
        raise Terminated from None


class Complaints(logging.Handler):
    """Shows what kew warns of (a store that doesn't answer, ...) as dim lines; tasks' own failures are left out.

    A command tells of those itself. The same words are shown once.
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
