"""The documented import path of the errors."""

from kew.domain.errors import (
    GiveUp,
    InvalidConfigError,
    InvalidTaskError,
    QueueFullError,
    QueueNotFoundError,
    QueueProcessorError,
    Retry,
    StoreUnavailableError,
    StoreUnsuitableError,
    SubmitUncertainError,
    TaskAlreadyExistsError,
    TaskCancelledError,
    TaskFailedError,
    TaskNotFoundError,
    TaskQueueError,
    UnknownFunctionError,
)

__all__ = [
    "GiveUp",
    "InvalidConfigError",
    "InvalidTaskError",
    "QueueFullError",
    "QueueNotFoundError",
    "QueueProcessorError",
    "Retry",
    "StoreUnavailableError",
    "StoreUnsuitableError",
    "SubmitUncertainError",
    "TaskAlreadyExistsError",
    "TaskCancelledError",
    "TaskFailedError",
    "TaskNotFoundError",
    "TaskQueueError",
    "UnknownFunctionError",
]
