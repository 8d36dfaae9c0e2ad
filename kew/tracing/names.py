"""All names of kew's spans and attributes, by the semantic conventions for messaging where they have one."""

from __future__ import annotations

from typing import Final

SCOPE: Final = "kew"
SYSTEM: Final = "kew"

SEND: Final = "send"
PROCESS: Final = "process"

MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_DESTINATION: Final = "messaging.destination.name"
MESSAGING_OPERATION_NAME: Final = "messaging.operation.name"
MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGING_MESSAGE_ID: Final = "messaging.message.id"
MESSAGING_BATCH_COUNT: Final = "messaging.batch.message_count"
MESSAGING_CLIENT_ID: Final = "messaging.client.id"
ERROR_TYPE: Final = "error.type"

TASK_FUNCTION: Final = "kew.task.function"
TASK_TYPE: Final = "kew.task.type"
TASK_ATTEMPT: Final = "kew.task.attempt"
TASK_FAILURES: Final = "kew.task.failures"
TASK_OUTCOME: Final = "kew.task.outcome"
TASK_RETRY_DELAY: Final = "kew.task.retry_delay"

SUCCEEDED: Final = "succeeded"
RETRIED: Final = "retried"
FAILED: Final = "failed"
SNOOZED: Final = "snoozed"
RELEASED: Final = "released"
DISCARDED: Final = "discarded"


def span_name(operation: str, queue: object) -> str:
    """ "send orders"."""
    return f"{operation} {queue}"
