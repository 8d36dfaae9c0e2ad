"""The thread of a store: the only one that uses its connection, so that no call of the database blocks an event loop.

The operations that wait are carried out in one transaction, in the order in which they were asked, and are answered
once it is committed. If one of them fails, none has happened, and each is carried out again by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Generic, TypeVar

import attrs

from kew.adapters.sqlite import failures
from kew.adapters.sqlite.slices import Slices
from kew.adapters.sqlite.turns import Turns
from kew.app.ports import Operation, Refused

A = TypeVar("A")
MOST_AT_ONCE: Final = 128  # operations in a transaction


@attrs.define(eq=False)
class Job(Generic[A]):
    """An operation, and who waits for its answer.

    `operation` None: the file is to be opened, no more; or, if the job `is_last`, to be closed.
    """

    operation: Operation[A] | None
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Any]
    is_last: bool = False


class Session:
    """What the thread needs of an open file."""

    def __init__(
        self,
        db: sqlite3.Connection,
        slices: Slices,
        turns: Turns,
        begin: Callable[[], None],
        carry_out: Callable[[Operation[Any]], Coroutine[Any, Any, Any]],
        flush: Callable[[], None],
        committed: Callable[[], None],
        undone: Callable[[], None],
    ) -> None:
        self.db = db
        self.slices = slices
        self.turns = turns
        self.begin = begin
        self.carry_out = carry_out
        self.flush = flush
        self.committed = committed
        self.undone = undone

    def close(self) -> None:
        """Close the file."""
        self.db.close()
        self.turns.close()


class Writer:
    """The thread. `connect` opens the file, in the thread; a failure is raised by the operations, and tried again."""

    def __init__(self, path: str, connect: Callable[[], Session]) -> None:
        self._path = path
        self._connect = connect
        self._jobs: queue.SimpleQueue[Job[Any]] = queue.SimpleQueue()
        self._session: Session | None = None
        self._last: Job[Any] | None = None
        threading.Thread(target=self._run, name="kew-sqlite", daemon=True).start()

    def ask(self, operation: Operation[A] | None) -> asyncio.Future[A]:
        """Have it carried out; the future gets its answer, or the error."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[A] = loop.create_future()
        self._jobs.put(Job(operation, loop, answer))
        return answer

    def stop(self) -> asyncio.Future[None]:
        """End once what was asked before is carried out. The future is done when the file is closed."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        self._jobs.put(Job(None, loop, ended, is_last=True))
        return ended

    # --- in the thread

    def _run(self) -> None:
        while self._last is None:
            jobs = self._joined([], self._jobs.get())
            if jobs:
                self._serve(jobs)
        if self._session is not None:
            self._session.close()
        _answer([(self._last, None)])

    def _joined(self, jobs: list[Job[Any]], job: Job[Any] | None = None) -> list[Job[Any]]:
        """The jobs, with this one and those that wait."""
        while len(jobs) < MOST_AT_ONCE:
            try:
                job = job or self._jobs.get_nowait()
            except queue.Empty:
                break
            if job.is_last:
                self._last = job
                break
            jobs.append(job)
            job = None
        return jobs

    def _serve(self, jobs: list[Job[Any]]) -> None:
        try:
            session = self._session = self._session or self._connect()
        except Exception as error:  # noqa: BLE001 - the callers get it, and the thread goes on
            _answer([(job, _refusal(job, error)) for job in jobs])
            return
        self._carry_out(session, jobs)

    def _carry_out(self, session: Session, jobs: list[Job[Any]], *, again: bool = False) -> None:
        is_committing = False
        try:
            changes = any(job.operation is not None and job.operation.changes for job in jobs)
            if changes:
                session.turns.begin()
                jobs = (
                    jobs if again else self._joined(jobs)
                )  # other processes may have written for long
            else:
                session.db.execute("BEGIN")
            session.slices.begin()
            session.begin()
            answers = [(job, _run_through(session, job)) for job in jobs]
            if changes:
                session.flush()
            is_committing = True
            session.db.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - each caller gets it; the thread goes on
            self._undo(session)
            if len(jobs) > 1 and failures.code_of(error) not in failures.AFFECTS_ALL:
                for job in jobs:
                    self._carry_out(session, [job], again=True)
                return
            raised = failures.while_working(error, self._path, is_committing=is_committing)
            _answer([(job, raised) for job in jobs])
            return
        session.committed()  # first: a caller that has its answer may rely on the notifications being under way
        _answer(answers)

    def _undo(self, session: Session) -> None:
        if session.db.in_transaction:
            with contextlib.suppress(sqlite3.Error):  # the failure that led here is reported
                session.db.execute("ROLLBACK")
        session.undone()


def _run_through(session: Session, job: Job[Any]) -> Any:
    """Carry out an operation, whose coroutine waits for nothing."""
    if job.operation is None:
        return None
    session.slices.check()
    try:
        session.carry_out(job.operation).send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError(f"{job.operation.name} waits inside a transaction")


def _refusal(job: Job[Any], error: Exception) -> BaseException:
    """What a job raises if the file can't be opened."""
    return error if job.operation is None else Refused(str(error))


def _answer(answers: Sequence[tuple[Job[Any], Any]]) -> None:
    """Answer the jobs, with one call for each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Job[Any], Any]]] = {}
    for job, answer in answers:
        by_loop.setdefault(job.loop, []).append((job, answer))
    for loop, found in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: no caller waits
            loop.call_soon_threadsafe(_resolve, found)


def _resolve(answers: Sequence[tuple[Job[Any], Any]]) -> None:
    for job, answer in answers:
        if job.answer.done():
            continue  # the caller was cancelled
        if isinstance(answer, BaseException):
            job.answer.set_exception(answer)
        else:
            job.answer.set_result(answer)
