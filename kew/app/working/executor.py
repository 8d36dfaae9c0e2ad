"""Running one attempt: find the function, decode its arguments, run it, and say how it ended.

Whatever user code does (raise anything, exit, cancel itself, return what can't be encoded) ends as an `Outcome`.
Only Ctrl-C passes through: it is the program's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import CoroutineType
from typing import Any

import attrs

from kew.app.around import TaskCall, surrounded
from kew.app.failures import describe, failure_causes
from kew.app.fingerprints import report_of
from kew.app.naming import PICKLED
from kew.app.ports import Codec, CodecError, Entropy, Threads
from kew.app.registered import RegisteredFunction
from kew.app.registry import Registry
from kew.app.working.calling import NoThreadError, PlainCalls, adopt, is_awaitable, why_no_result
from kew.app.working.context import TaskContext
from kew.app.working.interrupts import is_interrupt
from kew.app.working.runs import Run, Stop, is_loop_gone
from kew.domain.backoff import Exponential
from kew.domain.causes import Causes, ErrorTypes
from kew.domain.config import QueueConfig, Settings
from kew.domain.counting import counts
from kew.domain.errors import UnknownFunctionError
from kew.domain.events import Failed, Released, SettleEvent, Succeeded
from kew.domain.keys import key_of
from kew.domain.reports import Report
from kew.domain.retry import FinalError, RetryPolicy, retry_after_ms
from kew.domain.schedule import tick_of
from kew.domain.snoozing import snooze_or_failure
from kew.domain.task import PINNED, Task, TaskStatus


class ResultError(FinalError):
    """The task returned what can't be stored: final, whatever retries are left."""


class PayloadError(FinalError):
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
        """It raised `CancelledError`, alone or in a group of nothing else."""
        return all(
            isinstance(leaf, asyncio.CancelledError) for leaf in failure_causes(self.error).leaves
        )


@attrs.frozen
class Unstarted:
    """The function was not called, for a reason that isn't the task's: no thread could be had."""

    error: BaseException
    is_cancelled = False


Outcome = Returned | Raised | Unstarted


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
        self._around = registry.around
        self.codec = self._codec = codec
        self._plain_calls = PlainCalls(threads)
        self._entropy = entropy
        self.settings = config.settings()

    def use(self, settings: Settings) -> None:
        """Decide by these from now on: another process declared them."""
        self.settings = settings

    def timeout_of(self, task: Task) -> float:
        """How long an attempt may take, seconds."""
        if task.call.timeout_ms is not None:
            return task.call.timeout_ms / 1000
        if self.settings.timeout_ms:  # an operator overrides it
            return self.settings.timeout_ms / 1000
        return self._config.task_timeout

    async def run(self, run: Run) -> Outcome:
        """Run the attempt to its end. Cancelling the running asyncio task stops a coroutine."""
        call = run.task.call
        binding = (call.function, call.id)
        try:
            if call.function.startswith(PINNED):
                self._registry.pins.taken(run.task)
            function = self._registry.resolve(call.function)
            args, kwargs = self._codec.decode_call(call.payload, function.function, binding)
            if function.tick is not None:
                kwargs = {**kwargs, function.tick: tick_of(run.task)}
        except (UnknownFunctionError, CodecError) as error:
            return Raised(PayloadError(str(error)))
        except BaseException as error:  # noqa: BLE001 - decoding may run any code of the task's data, which may exit
            _let_pass(error)
            return Raised(PayloadError(f"its arguments can't be decoded: {describe(error)}"))
        run.started = True
        try:
            if self._around or function.injection is not None:
                value = await self._surrounded(run, function, args, kwargs)
            elif function.is_coroutine:
                value = function.function(*args, **kwargs)
                # Most are coroutines: spare them a call.
                if type(value) is CoroutineType or is_awaitable(value):
                    value = await value
            else:
                value = await self._plain_calls.result(run, function, args, kwargs)
        except NoThreadError as error:
            run.started = False
            return Unstarted(error)
        except BaseException as error:  # noqa: BLE001 - user code: every way of ending is an outcome
            _let_pass(error)
            return Raised(error)
        try:
            return Returned(self._codec.encode_result(value, function.function, binding))
        except CodecError as error:
            reason = why_no_result(value) or error.reason
            return Raised(ResultError(f"the result can't be stored: {reason}"))
        except BaseException as error:  # noqa: BLE001 - the result's own code may exit too
            _let_pass(error)
            return Raised(ResultError(f"the result can't be stored: {describe(error)}"))

    async def _surrounded(
        self, run: Run, function: RegisteredFunction, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """The value of a call that has middleware around it, or dependencies: `run.scope` is to be closed."""
        if function.injection is not None:
            run.scope = function.injection.scope(args, kwargs)

        async def innermost() -> Any:
            provided = {} if run.scope is None else await run.scope.open()
            return await self._called(run, function, args, {**kwargs, **provided})

        is_carrier = function.name.startswith(PICKLED)
        seen = (args[0], *args[1:]) if is_carrier else (function.function, *args)
        call = TaskCall(seen[0], seen[1:], kwargs, innermost)
        return await surrounded(self._around, call, TaskContext.current())()

    async def _called(
        self, run: Run, function: RegisteredFunction, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        if function.is_coroutine:
            value = function.function(*args, **kwargs)
            return await value if is_awaitable(value) else value
        value = await self._plain_calls.result(run, function, args, kwargs)
        if (
            run.is_thread
        ):  # what follows can be cancelled, and sees the variables that the thread set
            run.is_thread = False
            adopt(run.context)
        return value

    def settled(self, task: Task, status: TaskStatus) -> None:
        """The store acknowledged an attempt: a closure is kept only as long as another one may come."""
        if task.call.function.startswith(PINNED):
            self._registry.pins.settled(task, status)

    def event_of(self, run: Run, outcome: Outcome | None) -> SettleEvent | None:
        """What to report to the store; `outcome` None: its code has not begun. None: nothing, its lease is lost."""
        if run.stop is None and isinstance(outcome, Returned):  # most: the table below costs more
            return Succeeded(outcome.result)
        match run.stop, outcome:
            case Stop.LOST, _:
                return None
            case Stop.TIMEOUT, _:
                return self._failed(run.task, self._timed_out(run.task))
            case _, None:
                return Released(started=run.started)
            case _, Returned(result):
                return Succeeded(result)
            case _, Unstarted():
                return Released(started=False)
            case _, Raised(error) if failure_causes(error).is_snooze:
                return self._snoozed(run.task, error)
            case ((Stop.SHUTDOWN | Stop.FENCED), Raised()):
                return Released(started=run.started)
            case Stop.CANCEL, Raised(is_cancelled=True):
                return Released(started=run.started)
            case _, Raised(error):
                return self._failed(run.task, error)

    def error_of(self, run: Run, outcome: Outcome | None) -> BaseException | None:
        """The error that the attempt failed with, for hooks and the log; None if it has none or was asked to stop."""
        if run.stop is None:
            return outcome.error if isinstance(outcome, Raised) else None
        return self._timed_out(run.task) if run.stop is Stop.TIMEOUT else None

    def _timed_out(self, task: Task) -> TimeoutError:
        return TimeoutError(f"timed out after {self.timeout_of(task):g} s")

    def _snoozed(self, task: Task, error: BaseException) -> SettleEvent:
        event = snooze_or_failure(
            failure_causes(error),
            describe(error),
            snoozes=task.snoozes,
            max_snoozes=self.max_snoozes_of(task),
            has_key=bool(key_of(task.call)),
        )
        if isinstance(event, Failed):
            return attrs.evolve(event, report=self._report_of(task, error))
        return event

    def _failed(self, task: Task, error: BaseException) -> Failed:
        text, causes, options = describe(error), failure_causes(error), self._options(task)
        try:
            after = retry_after_ms(
                self._policy(task, options),
                failures=task.failures,
                causes=causes,
                draw=self._entropy.draw(),
            )
        except BaseException as raised:  # noqa: BLE001 - user code: a backoff that raises allows no retry
            text, after = f"{text} (and the backoff failed: {describe(raised)})", None
        try:
            is_counted = self._counts(options, error, causes)
        except BaseException as raised:  # noqa: BLE001 - user code: a failure that it can't judge counts
            text, is_counted = f"{text} (and circuit_breaker_on failed: {describe(raised)})", True
        report = self._report_of(task, error)
        return Failed(error=text, retry_after_ms=after, counts=is_counted, report=report)

    def _report_of(self, task: Task, error: BaseException) -> Report:
        return report_of(error, task.call.function, keeps_traceback=self._config.keep_tracebacks)

    def _counts(
        self, options: RegisteredFunction | None, error: BaseException, causes: Causes
    ) -> bool:
        own = options.circuit_breaker_on if options else None
        return counts(self._config.circuit_breaker_on if own is None else own, error, causes)

    def max_retries_of(self, task: Task) -> int:
        """How many failed attempts are followed by another one."""
        own = task.call.max_retries
        return self.settings.max_retries if own is None else own

    def max_snoozes_of(self, task: Task) -> int:
        """How often it may come back later."""
        options = self._options(task)
        own = options.max_snoozes if options else None
        return self.settings.max_snoozes if own is None else own

    def _policy(self, task: Task, options: RegisteredFunction | None) -> RetryPolicy:
        """The queue's policy; the function's registration and the task itself take precedence."""
        call, config = task.call, self._config
        delay = self.settings.retry_delay_ms if call.retry_delay_ms is None else call.retry_delay_ms
        backoff = Exponential(base=delay / 1000)
        if call.retry_delay_ms is None:
            backoff = config.backoff or backoff  # type: ignore[assignment]  # any Backoff
        return RetryPolicy(
            max_retries=self.max_retries_of(task),
            backoff=(options and options.backoff) or backoff,
            retry_on=_said(options.retry_on if options else None, config.retry_on),
            give_up_on=_said(options.give_up_on if options else None, config.give_up_on),
        )

    def _options(self, task: Task) -> RegisteredFunction | None:
        try:
            return self._registry.resolve(task.call.function)
        except UnknownFunctionError:
            return None


def _let_pass(error: BaseException) -> None:
    """Raise Ctrl-C and the end of the event loop, which are no outcome of the task whose code they hit."""
    if is_loop_gone():
        raise error
    for leaf in failure_causes(error).leaves:
        if is_interrupt(leaf):
            raise leaf


def _said(own: ErrorTypes | None, queues: ErrorTypes) -> ErrorTypes:
    """The function's own, which may be empty; the queue's if the function has none."""
    return queues if own is None else own
