"""Decorated functions of a module, as a program has them: for pickling by name and for several managers."""

import multiprocessing
from typing import Any

from kew import Fixed, QueueConfig, TaskQueueManager

manager = TaskQueueManager("memory://")
MAILS = QueueConfig("mails")


@manager.task(queue=MAILS, max_retries=2, backoff=Fixed(0.01))
async def send(to: str, subject: str = "hello") -> str:
    """Send a mail."""
    return f"{subject} -> {to}"


@manager.task(queue="mails", name="count-letters")
def count(text: str) -> int:
    return len(text)


class Jobs:
    @staticmethod
    @manager.task(queue="mails")
    def shout(text: str) -> str:
        return text.upper()


async def undecorated(text: str) -> str:
    return text


under_another_name = manager.task(queue="mails")(undecorated)


def is_child() -> bool:
    return multiprocessing.parent_process() is not None


def called_there(function: Any, *args: Any) -> tuple[bool, Any]:
    """Call it in another process."""
    return is_child(), function(*args)
