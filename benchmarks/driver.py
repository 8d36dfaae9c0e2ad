"""A contender's program as the driver sees it: started, asked in JSON lines, ended by its process id."""

from __future__ import annotations

import contextlib
import json
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.contenders import Contender
from benchmarks.environments import CACHE, command, variables

SECONDS = 180.0


class Broken(Exception):
    """A program failed or gave no answer; the message says what it said."""


class Program:
    """A running program. One request is on its way at a time."""

    def __init__(self, contender: Contender, script: str | None = None) -> None:
        logs = CACHE / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self._name = contender.name
        self._log = logs / f"{contender.name.replace(' ', '-')}.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command(contender, script),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=variables(contender),
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, verb: str, **given: Any) -> dict[str, Any]:
        """The answer to a request. Raises `Broken`."""
        self.send(verb, **given)
        return self.receive()

    def send(self, verb: str, **given: Any) -> None:
        """Ask, without waiting."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": verb, **given}).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise Broken(f"{self._name} ended: see {self._log.name}") from error

    def has_answered(self, seconds: float = 0.0) -> bool:
        """There is something to receive, now or within `seconds`."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], seconds)[0])

    def receive(self) -> dict[str, Any]:
        """The answer to what was sent. Raises `Broken`."""
        assert self._process.stdout is not None
        if not self.has_answered(SECONDS):
            raise Broken(f"{self._name} gave no answer within {SECONDS:g} s")
        line = self._process.stdout.readline()
        if not line:
            raise Broken(f"{self._name} ended: see {self._log.name}")
        answer = json.loads(line)
        if "error" in answer:
            raise Broken(answer["error"])
        found: dict[str, Any] = answer["ok"]
        return found

    def end(self) -> None:
        """Stop this process, by its id."""
        self._process.kill()
        self._process.communicate()


def end_politely_on_sigterm() -> None:
    """Let every block be left, and so every program and server be stopped, when the driver is told to end."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


@contextlib.contextmanager
def running(contender: Contender, script: str | None = None) -> Iterator[Program]:
    """A program that is ended with the block."""
    program = Program(contender, script)
    try:
        yield program
    finally:
        program.end()
