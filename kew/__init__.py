"""kew: a background task queue that runs inside an asyncio process."""

from importlib import import_module
from typing import TYPE_CHECKING

from kew import exceptions
from kew.exceptions import *  # noqa: F403 - the errors are public names, listed there
from kew.version import VERSION

if TYPE_CHECKING:
    from kew.adapters.codecs import MessagePackCodec, PickleCodec
    from kew.app.arguments import TaskArguments
    from kew.app.around import TaskCall
    from kew.app.dead_letters import DeadLetterGroup, DeadLetterPage
    from kew.app.diagnosis import Diagnosis, Finding
    from kew.app.health import Health
    from kew.app.info import Attempt, TaskCheckpoint, TaskInfo, TaskProgress
    from kew.app.injection import Depends
    from kew.app.listing import TaskPage
    from kew.app.notices import Wakeup
    from kew.app.observer import Observer, StoreCall, TaskEvent, WorkerLoss
    from kew.app.ports import Codec, TaskStore
    from kew.app.processes import LongTask, ProcessInfo, ProcessQueue
    from kew.app.scheduling.office import ScheduleInfo
    from kew.app.submitting.uniqueness import Debounce, Latest, Throttle, Unique
    from kew.app.working.context import TaskContext, current_task
    from kew.bootstrap import Parts
    from kew.domain.backoff import Backoff, Custom, Exponential, Fixed, Linear
    from kew.domain.breaker_history import BreakerChange
    from kew.domain.config import QueueConfig
    from kew.domain.explaining import Explanation, Holder, Reason
    from kew.domain.history import HistoryPoint, QueueHistory
    from kew.domain.key_limits import KeyLimit, KeyLimitPage
    from kew.domain.keys import PerKey
    from kew.domain.overrides import Override
    from kew.domain.rate import Rate
    from kew.domain.schedule import Tick
    from kew.domain.task import QueuePriority, TaskStatus
    from kew.functions import TaskFunction
    from kew.handles import TaskHandle
    from kew.manager import TaskQueueManager
    from kew.queue_handles import QueueHandle
    from kew.resources import Resource
    from kew.task_logs import TaskLogFilter

__version__ = VERSION
__all__ = [
    "Attempt",
    "Backoff",
    "BreakerChange",
    "Codec",
    "Custom",
    "DeadLetterGroup",
    "DeadLetterPage",
    "Debounce",
    "Depends",
    "Diagnosis",
    "Explanation",
    "Exponential",
    "Finding",
    "Fixed",
    "Health",
    "HistoryPoint",
    "Holder",
    "KeyLimit",
    "KeyLimitPage",
    "Latest",
    "Linear",
    "LongTask",
    "MessagePackCodec",
    "Observer",
    "Override",
    "Parts",
    "PerKey",
    "PickleCodec",
    "ProcessInfo",
    "ProcessQueue",
    "QueueConfig",
    "QueueHandle",
    "QueueHistory",
    "QueuePriority",
    "Rate",
    "Reason",
    "Resource",
    "ScheduleInfo",
    "StoreCall",
    "TaskArguments",
    "TaskCall",
    "TaskCheckpoint",
    "TaskContext",
    "TaskEvent",
    "TaskFunction",
    "TaskHandle",
    "TaskInfo",
    "TaskLogFilter",
    "TaskPage",
    "TaskProgress",
    "TaskQueueManager",
    "TaskStatus",
    "TaskStore",
    "Throttle",
    "Tick",
    "Unique",
    "Wakeup",
    "WorkerLoss",
    "current_task",
]
__all__ += exceptions.__all__  # a form that type checkers understand

_MODULES = {
    "kew.adapters.codecs": ("MessagePackCodec", "PickleCodec"),
    "kew.app.arguments": ("TaskArguments",),
    "kew.app.around": ("TaskCall",),
    "kew.app.dead_letters": ("DeadLetterGroup", "DeadLetterPage"),
    "kew.app.diagnosis": ("Diagnosis", "Finding"),
    "kew.app.health": ("Health",),
    "kew.app.info": ("Attempt", "TaskCheckpoint", "TaskInfo", "TaskProgress"),
    "kew.app.injection": ("Depends",),
    "kew.app.listing": ("TaskPage",),
    "kew.app.notices": ("Wakeup",),
    "kew.app.observer": ("Observer", "StoreCall", "TaskEvent", "WorkerLoss"),
    "kew.app.ports": ("Codec", "TaskStore"),
    "kew.app.processes": ("LongTask", "ProcessInfo", "ProcessQueue"),
    "kew.app.scheduling.office": ("ScheduleInfo",),
    "kew.app.submitting.uniqueness": ("Debounce", "Latest", "Throttle", "Unique"),
    "kew.app.working.context": ("TaskContext", "current_task"),
    "kew.bootstrap": ("Parts",),
    "kew.domain.backoff": ("Backoff", "Custom", "Exponential", "Fixed", "Linear"),
    "kew.domain.breaker_history": ("BreakerChange",),
    "kew.domain.config": ("QueueConfig",),
    "kew.domain.explaining": ("Explanation", "Holder", "Reason"),
    "kew.domain.history": ("HistoryPoint", "QueueHistory"),
    "kew.domain.key_limits": ("KeyLimit", "KeyLimitPage"),
    "kew.domain.keys": ("PerKey",),
    "kew.domain.overrides": ("Override",),
    "kew.domain.rate": ("Rate",),
    "kew.domain.schedule": ("Tick",),
    "kew.domain.task": ("QueuePriority", "TaskStatus"),
    "kew.functions": ("TaskFunction",),
    "kew.handles": ("TaskHandle",),
    "kew.manager": ("TaskQueueManager",),
    "kew.queue_handles": ("QueueHandle",),
    "kew.resources": ("Resource",),
    "kew.task_logs": ("TaskLogFilter",),
}
"""Where the public names are: a module is loaded when one of its names is used for the first time."""
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


if not TYPE_CHECKING:  # a type checker would take every misspelt name for one that may exist

    def __getattr__(name: str) -> object:
        """Load the name, and keep it: this function isn't called for it again (PEP 562)."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_MODULE_OF[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
