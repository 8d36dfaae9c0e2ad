"""kew: a background task queue that lives inside an asyncio process."""

from kew.app.context import TaskContext
from kew.app.info import TaskInfo
from kew.domain.backoff import Backoff, Custom, Exponential, Fixed, Linear
from kew.domain.config import QueueConfig
from kew.domain.task import QueuePriority, TaskStatus
from kew.exceptions import *  # noqa: F403 - the errors are public names, listed there
from kew.exceptions import __all__ as _errors
from kew.handles import TaskFunction, TaskHandle
from kew.manager import TaskQueueManager

__version__ = "0.3.0"
__all__ = [
    "Backoff",
    "Custom",
    "Exponential",
    "Fixed",
    "Linear",
    "QueueConfig",
    "QueuePriority",
    "TaskContext",
    "TaskFunction",
    "TaskHandle",
    "TaskInfo",
    "TaskQueueManager",
    "TaskStatus",
    *_errors,
]
