"""Running one attempt: find the function, decode its arguments, run it, and say how it ended.

Whatever user code does (raise anything, exit, cancel itself, return what can't be encoded) ends as
an `Outcome`; nothing leaks from here but a KeyboardInterrupt, after its outcome.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import attrs

from kew.app import context
from kew.app.ports import Codec, CodecError, Entropy, Threads
from kew.app.registry import RegisteredFunction, Registry
from kew.app.runs import Run, Stop, is_loop_gone
from kew.domain.backoff import Exponential
from kew.domain.config import QueueConfig, Settings
from kew.domain.errors import GiveUp, UnknownFunctionError
from kew.domain.events import Failed, Released, SettleEvent, Succeeded
from kew.domain.retry import ErrorTypes, RetryPolicy, retry_after_ms
from kew.domain.task import PINNED, Task

MAX_ERROR_BYTES = 4096


class ResultError(GiveUp):
    """The task returned what can't be stored: final, whatever retries are left."""


class PayloadError(GiveUp):
    """The task's arguments can't be decoded here: final."""


@attrs.frozen
class Returned:
    """The encoded result."""

    result: bytes
    is_cancelled = False


@attrs.frozen
class Raised:
    """The error that ended the attempt."""

    error: BaseException

    @property
    def is_cancelled(self) -> bool:
        """Its asyncio task was cancelled, or it says so."""
        return isinstance(self.error, asyncio.CancelledError)


Outcome = Returned | Raised


class Executor:
    """Runs the attempts of one queue."""

    def __init__(
        self,
        config: QueueConfig,
        *,
        registry: Registry,
        codec: Codec,
        threads: Threads,
        entropy: Entropy,
    ) -> None:
        self._config = config
        self._registry = registry
        self._codec = codec
        self._threads = threads
        self._entropy = entropy
        self.settings = config.settings()

    def use(self, settings: Settings) -> None:
        """Decide by these from now on: another process declared them."""
        self.settings = settings

    def timeout_of(self, task: Task) -> float:
        """How long an attempt may take, seconds."""
        if task.call.timeout_ms is not None:
            return task.call.timeout_ms / 1000
        return self._config.task_timeout

    async def run(self, run: Run) -> Outcome:
        """Run the attempt to its end. Cancelling the running asyncio task stops a coroutine."""
        try:
            function = self._registry.resolve(run.task.call.function)
            args, kwargs = self._codec.decode_call(run.task.call.payload, function.function)
        except (UnknownFunctionError, CodecError) as error:
            return Raised(PayloadError(str(error)))
        context.enter(run.task, run.timeout_at)
        try:
            if function.is_coroutine:
                value = await function.function(*args, **kwargs)
            else:
                value = await self._in_thread(run, partial(function.function, *args, **kwargs))
        except BaseException as error:  # user code: every way of ending it by itself is an outcome
            if is_loop_gone(error):
                raise
            return Raised(error)
        try:
            return Returned(self._codec.encode_result(value))
        except CodecError as error:
            return Raised(ResultError(f"the result can't be stored: {error.reason}"))

    async def _in_thread(self, run: Run, call: Callable[[], object]) -> object:
        run.is_thread = True
        return await self._threads.run(call)

    def completed(self, task: Task) -> None:
        """A task that nobody can put back any more needs no function."""
        if task.call.function.startswith(PINNED):
            self._registry.release(task.call.function)

    def event_of(self, run: Run, outcome: Outcome | None) -> SettleEvent | None:
        """What the store is told of an attempt that ended so (None: not begun); None: nothing, its lease is lost."""
        match run.stop, outcome:
            case Stop.LOST, _:
                return None
            case Stop.TIMEOUT, _:
                return self._failed(run.task, self._timed_out(run.task))
            case _, None:
                return Released(started=run.started)
            case _, Returned(result):
                return Succeeded(result)
            case ((Stop.SHUTDOWN | Stop.FENCED), Raised()):
                return Released(started=run.started)
            case Stop.CANCEL, Raised(asyncio.CancelledError()):
                return Released(started=run.started)
            case _, Raised(KeyboardInterrupt()):
                return Released(started=True)
            case _, Raised(error):
                return self._failed(run.task, error)

    def error_of(self, run: Run, outcome: Outcome | None) -> BaseException | None:
        """The error that the attempt failed with, for hooks and the log; None: it didn't, or it was told to stop."""
        if run.stop is Stop.TIMEOUT:
            return self._timed_out(run.task)
        return outcome.error if isinstance(outcome, Raised) and run.stop is None else None

    def _timed_out(self, task: Task) -> TimeoutError:
        return TimeoutError(f"timed out after {self.timeout_of(task):g} s")

    def _failed(self, task: Task, error: BaseException) -> Failed:
        text = describe(error)
        try:
            after = retry_after_ms(
                self._policy(task),
                failures=task.failures,
                error=error,
                draw=self._entropy.draw(),
            )
        except BaseException as raised:  # noqa: BLE001 - a user's own backoff: without its answer there is no retry
            text, after = f"{text} (and the backoff failed: {describe(raised)})", None
        return Failed(error=text, retry_after_ms=after)

    def _policy(self, task: Task) -> RetryPolicy:
        """The queue's policy, with what the function's registration and the task itself say instead."""
        call, config, options = task.call, self._config, self._options(task)
        delay = self.settings.retry_delay_ms if call.retry_delay_ms is None else call.retry_delay_ms
        backoff = Exponential(base=delay / 1000)
        if call.retry_delay_ms is None:
            backoff = config.backoff or backoff  # type: ignore[assignment]  # any Backoff
        retries = self.settings.max_retries if call.max_retries is None else call.max_retries
        return RetryPolicy(
            max_retries=retries,
            backoff=(options and options.backoff) or backoff,
            retry_on=_said(options.retry_on if options else None, config.retry_on),
            give_up_on=_said(options.give_up_on if options else None, config.give_up_on),
        )

    def _options(self, task: Task) -> RegisteredFunction | None:
        try:
            return self._registry.resolve(task.call.function)
        except UnknownFunctionError:
            return None


def _said(own: ErrorTypes | None, queues: ErrorTypes) -> ErrorTypes:
    """The function's own, which may be none of them; the queue's where it says nothing."""
    return queues if own is None else own


def describe(error: BaseException) -> str:
    """ "ValueError: what it says", cut at 4 KiB; an error that can't be printed is named."""
    try:
        text = str(error)
    except BaseException as failure:  # noqa: BLE001 - a user's __str__: its failing is told instead
        text = f"(its text can't be had: {type(failure).__name__})"
    name = type(error).__name__
    if isinstance(error, asyncio.CancelledError):
        text = text or "raised by the task itself"
    whole = f"{name}: {text}" if text else name
    return whole.encode("utf-8", "replace")[:MAX_ERROR_BYTES].decode("utf-8", "ignore")
