"""Several worker processes, and restarts: of one that was killed, or of all when a file changes."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from kew.cli.exits import Exit
from kew.cli.working import LINE, OF_PARENT

LOOK_SECONDS: Final = 0.25
RESTART_SECONDS: Final = 1.0
KILL_SECONDS: Final = 10.0  # after its grace, a process gets so long to end
SKIPPED: Final = {"node_modules", "__pycache__", "site-packages"}
logger = logging.getLogger("kew.worker")


class Supervisor:
    """Runs `count` processes of a command until a signal; a second signal ends them at once.

    A process that was killed starts again. One that ended by itself with an error ends all of them, with its exit
    code; in a burst, each ends when it is done. `watched`: a folder of Python files; when one of them changes, the
    processes shut down and start again.
    """

    def __init__(
        self, command: Sequence[str], count: int, *, grace: float, watched: Path | None = None
    ) -> None:
        self._command = list(command)
        self._count = count
        self._grace = grace
        self._watched = watched
        self._signals: list[int] = []
        self._running: list[subprocess.Popen[bytes]] = []
        self._woken = threading.Event()

    def run(self) -> int:
        """The exit code."""
        logging.basicConfig(level=logging.INFO, format=LINE)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._asked)
        code: int = Exit.OK
        for _ in range(self._count):
            self._start()
        files = self._files()
        while not self._signals and (self._running or self._watched):
            self._woken.wait(LOOK_SECONDS)
            if self._watched is not None and (now := self._files()) != files:
                changed = next(iter(dict(now.items() ^ files.items())))
                files = now
                logger.info("%s changed: the workers restart", changed)
                self._end()
                for _ in range(self._count):
                    self._start()
            code = self._reap()
            if code:
                break
        self._end()
        return code

    def _asked(self, number: int, _frame: object) -> None:
        self._signals.append(number)
        self._woken.set()
        if len(self._signals) > 1:
            for each in self._running:
                self._send(each, signal.SIGTERM)

    def _start(self) -> None:
        # A session of its own: Ctrl-C in a terminal reaches this process alone, which passes it on once.
        # Its standard input ends when this process does, however that is: then it shuts down.
        self._running.append(
            subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                env={**os.environ, OF_PARENT: str(os.getpid())},
                start_new_session=os.name == "posix",
            )
        )

    def _reap(self) -> int:
        """Start again what was killed. The code of one that failed by itself; 0: none did."""
        for each in list(self._running):
            code = each.poll()
            if code is None:
                continue
            self._running.remove(each)
            _close(each)
            if code < 0 and not self._signals:
                logger.warning(
                    "worker %d was killed by signal %d: it starts again", each.pid, -code
                )
                time.sleep(RESTART_SECONDS)
                self._start()
            elif code and self._watched is None:
                return code
        return Exit.OK

    def _end(self) -> None:
        """Let them shut down."""
        for each in self._running:
            self._send(each, signal.SIGTERM)
        until = time.monotonic() + self._grace + KILL_SECONDS
        for each in self._running:
            try:
                each.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                logger.warning("worker %d did not end in time, and is killed", each.pid)
                each.kill()
                each.wait()
            _close(each)
        self._running = []

    def _send(self, process: subprocess.Popen[bytes], number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)

    def _files(self) -> Mapping[str, int]:
        """The Python files below the folder, and when each was changed."""
        return dict(_changes(self._watched)) if self._watched is not None else {}


def _changes(folder: Path) -> Iterator[tuple[str, int]]:
    for where, folders, files in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if name not in SKIPPED
            and not name.startswith(".")
            and not (Path(where) / name / "pyvenv.cfg").exists()
        ]
        for name in files:
            if name.endswith(".py"):
                path = Path(where) / name
                with contextlib.suppress(OSError):  # it has just been removed
                    yield str(path), path.stat().st_mtime_ns


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


def command_of(target: str, options: Sequence[str]) -> list[str]:
    """One worker, run by this Python."""
    return [sys.executable, "-m", "kew", "worker", target, *options]
