"""kew: a background task queue that runs inside an asyncio process."""

from kew import exceptions
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
from kew.domain.key_limits import KeyLimit
from kew.domain.keys import PerKey
from kew.domain.overrides import Override
from kew.domain.rate import Rate
from kew.domain.schedule import Tick
from kew.domain.task import QueuePriority, TaskStatus
from kew.exceptions import *  # noqa: F403 - the errors are public names, listed there
from kew.functions import TaskFunction
from kew.handles import TaskHandle
from kew.manager import TaskQueueManager
from kew.queue_handles import QueueHandle
from kew.resources import Resource
from kew.task_logs import TaskLogFilter
from kew.version import VERSION

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
