"""A process of its own that works on queues: `python -m tests.support.worker_program CONFIG`.

It obeys lines of JSON on its standard input and answers on its standard output, a line each; its log goes to standard
error. `tests.support.workers` is the other end. SIGTERM makes it shut down, as a program that uses kew would do.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from typing import Any

from kew import QueueConfig, Rate, TaskQueueManager
from kew.app import steady
from tests.support import jobs

Config = dict[str, Any]


def say(**words: Any) -> None:
    """Answer the test."""
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def hooks() -> dict[str, Any]:
    """Hooks that tell the test."""

    def told(name: str) -> Any:
        return lambda info, *error: say(hook=name, task=info.task_id, attempt=info.attempt)

    return {f"on_task_{name}": told(name) for name in ("start", "complete", "fail")}


class Program:
    """What the process does until it is told to end."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.over = asyncio.Event()
        more = hooks() if config.get("hooks") else {}
        self.manager = TaskQueueManager(config["url"], **more, **config.get("manager", {}))

    async def run(self) -> None:
        """Serve the queues; end as the configuration says."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.over.set)
        commands = asyncio.create_task(self.obey())
        await self.manager.initialize()
        known = [getattr(jobs, name) for name in self.config.get("functions", [])]
        self.once_at_most(self.config.get("at_most_once", []))
        for options in self.config["queues"]:
            work = options.pop("work", True)
            if "rate" in options:
                options["rate"] = Rate(**options["rate"])
            await self.manager.create_queue(QueueConfig(**options), work=work, functions=known)
        say(ready=os.getpid())
        await self.over.wait()
        await self.manager.shutdown(timeout=self.config.get("shutdown_timeout", 5.0))
        commands.cancel()
        say(ended=os.getpid())

    def once_at_most(self, names: list[str]) -> None:
        """Register these jobs as at_most_once."""
        for name in names:
            self.manager.task(at_most_once=True)(getattr(jobs, name))

    async def obey(self) -> None:
        """Carry out commands in order."""
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            command = json.loads(line)
            try:
                answer = await getattr(self, f"do_{command.pop('do')}")(**command)
            except Exception as error:  # noqa: BLE001 - told to the test, which judges it
                answer = {"error": type(error).__name__, "message": str(error)}
            say(answer=answer)

    async def do_submit(self, queue: str, task_id: str, function: str, **kwargs: Any) -> str:
        """Submit one of the jobs."""
        call = getattr(jobs, function)
        info = await self.manager.submit_task(task_id, queue, "test", call, None, **kwargs)
        return info.status.value

    async def do_submit_closure(self, queue: str, task_id: str, defer_by: float) -> str:
        """Submit what only this process can run."""

        async def closure() -> str:
            return task_id

        info = await self.manager.submit_task(
            task_id, queue, "test", closure, None, _defer_by=defer_by
        )
        return info.status.value

    async def do_cancel(self, task_id: str) -> bool:
        """Cancel a task, wherever it runs."""
        return await self.manager.cancel_task(task_id)

    async def do_in_force(self, queue: str) -> dict[str, Any]:
        """The settings that this process applies to its next attempts."""
        worker = self.manager._here().workers[queue]
        settings = worker._executor.settings
        return {
            "max_workers": worker.slots.size,
            "max_retries": settings.max_retries,
            "task_timeout": settings.timeout_ms / 1000 or None,
        }

    async def do_fork(self) -> Any:
        """Fork, and let the child use the manager."""
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            with contextlib.suppress(BaseException):  # the child must reach its exit
                os.write(writing, self.used_after_fork().encode())
            os._exit(0)
        os.close(writing)
        os.waitpid(child, 0)  # noqa: ASYNC222 - it ends at once, and nothing else is to happen meanwhile
        with os.fdopen(reading) as told:
            return json.loads(told.read())

    def used_after_fork(self) -> str:
        """The error of a coroutine that is begun without a loop: it must be refused before it waits for anything."""
        call = self.manager.get_task_status("any")
        try:
            call.send(None)
        except Exception as error:  # noqa: BLE001 - told to the test, which judges it
            return json.dumps({"error": type(error).__name__, "message": str(error)})
        return json.dumps({"error": None, "message": "it went on"})


def set_wall_clock(ahead_s: float) -> None:
    """Let this process's wall clock be wrong."""
    right = time.time
    time.time = lambda: right() + ahead_s


async def main(config: Config) -> None:
    """Run the program."""
    set_wall_clock(config.get("wall_clock_ahead_s", 0.0))
    steady.PRESENCE_MS = config.get("presence_ms", steady.PRESENCE_MS)
    await Program(config).run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    asyncio.run(main(json.loads(sys.argv[1])))
