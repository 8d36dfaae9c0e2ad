"""Real worker processes as things that a test starts, talks to, kills, stops and continues."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from tests.support.ledger import ENVIRONMENT, Ledger

ROOT = Path(__file__).parents[2]
SECONDS = 90.0


@attrs.define(eq=False)
class Worker:
    """A process that runs `worker_program`."""

    process: asyncio.subprocess.Process
    log_path: Path
    told: list[dict[str, Any]] = attrs.field(factory=list)
    _news: asyncio.Event = attrs.field(factory=asyncio.Event)
    _reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """What the process wrote to its log."""
        return self.log_path.read_text(errors="replace")

    def start_reading(self) -> None:
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.told.append(json.loads(line))
            self._news.set()
        self.told.append({"over": True})
        self._news.set()

    async def until(
        self, is_it: Callable[[dict[str, Any]], object], seconds: float = SECONDS
    ) -> Any:
        """The first thing told that `is_it`; it is forgotten then."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    self._news.clear()
                    for words in self.told:
                        if is_it(words):
                            self.told.remove(words)
                            return words
                    assert {"over": True} not in self.told, (
                        f"the worker has ended:\n{self.log[-3000:]}"
                    )
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(
                f"the worker was silent for {seconds:g} s:\n{self.log[-3000:]}"
            ) from None

    async def ask(self, do: str, **words: Any) -> Any:
        """Let it carry out a command; its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **words}).encode() + b"\n")
        return (await self.until(lambda words: "answer" in words))["answer"]

    def hooks(self, name: str, task: str | None = None) -> list[dict[str, Any]]:
        """The hooks of that name that fired so far."""
        return [
            words
            for words in self.told
            if words.get("hook") == name and task in (None, words.get("task"))
        ]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def kill(self) -> None:
        """SIGKILL: no line of it runs any more."""
        self.send(signal.SIGKILL)
        await self.ended()

    async def ended(self, seconds: float = SECONDS) -> int:
        """Its exit code, once it has ended."""
        async with asyncio.timeout(seconds):
            code = await self.process.wait()
            assert self._reading is not None
            await self._reading
        return code

    async def dismiss(self) -> None:
        """End it, whatever state it is in."""
        if self.process.returncode is None:
            self.send(signal.SIGKILL)
        await self.ended()


@attrs.define(eq=False)
class Workers:
    """Starts worker processes and ends them with the test."""

    ledger: Ledger
    directory: Path
    _started: list[Worker] = attrs.field(factory=list)

    async def begin(self, url: str, *queues: dict[str, Any], **config: Any) -> Worker:
        """A worker process on its way; `ready` waits for it."""
        log_path = self.directory / f"worker-{len(self._started)}.log"
        arguments = json.dumps({"url": url, "queues": list(queues), **config})
        with log_path.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.support.worker_program",
                arguments,
                cwd=ROOT,
                env={**os.environ, ENVIRONMENT: str(self.ledger.path)},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        worker = Worker(process, log_path)
        self._started.append(worker)
        worker.start_reading()
        return worker

    async def start(self, url: str, *queues: dict[str, Any], **config: Any) -> Worker:
        """A worker process that serves these queues (the arguments of `QueueConfig`)."""
        worker = await self.begin(url, *queues, **config)
        await worker.until(lambda words: "ready" in words)
        return worker

    async def end(self) -> None:
        """End them all."""
        for worker in self._started:
            await worker.dismiss()
