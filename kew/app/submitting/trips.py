"""A round trip of submits: its groups, the callers that wait for each of them, and what they get."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Protocol

import attrs

from kew.app.info import TaskInfo, moment
from kew.app.ports import Ambiguous, Damaged, Refused, StoreError, Submitted
from kew.app.submitting.fates import MAY_BE_STORED, ON_ANSWER, Fate
from kew.app.working.settler import Ride
from kew.compat import override
from kew.domain.errors import StoreUnavailableError, SubmitUncertainError
from kew.domain.requests import ALONE, Along, Group, GroupOutcome, Word
from kew.domain.task import Submission
from kew.domain.values import maker

SHUT_DOWN = "the manager was shut down before there was an answer"
NO_ANSWER = "no answer from the store within the patience"
STORED = (Word.DONE, Word.SAME)
# Refusals that may be over when an earlier sending arrives.
MAY_BE_LIFTED = frozenset(
    {
        Word.FULL,
        Word.KEY_FULL,
        Word.COSTLY,
        Word.HELD,
        Word.LATE,
        Word.DRAINING,
        Word.NO_QUEUE,
    }
)


@attrs.frozen(weakref_slot=False)
class Answer:
    """What the store said of a group, and when by its clock.

    `is_certain`: no earlier sending of it is without an answer, which may yet arrive and do what this one did not.
    """

    outcome: GroupOutcome
    now: datetime | None
    is_stored: bool
    is_certain: bool = True


_answer = maker(Answer)


class Unanswered(Exception):
    """No answer within the patience. `is_ambiguous`: the group may have been stored."""

    def __init__(self, cause: StoreError, *, is_ambiguous: bool) -> None:
        super().__init__(str(cause))
        self.is_ambiguous = is_ambiguous


class Waiter(Protocol):
    """A group and the caller that waits for its answer, which it gets once, or never if it was cancelled."""

    @property
    def tasks(self) -> int:
        """How many the group has."""
        ...

    @property
    def give_up_at(self) -> float:
        """Until when it waits, in the loop's time."""
        ...

    @property
    def size(self) -> int:
        """Its bytes, roughly."""
        ...

    def group(self) -> Group: ...

    def done(self) -> bool: ...

    def answered(self, answer: Answer, /) -> None: ...

    def unanswered(self, error: Unanswered, /) -> None: ...


class Trip(Collection[Group]):
    """The groups that share a round trip, each made when it is sent: those of thousands in flight are not kept.

    `ride` goes along, until it has arrived or goes on by itself. Without an answer it is repeated until `give_up_at`,
    when the last of the waiters gives up.
    """

    __slots__ = ("fate", "ride", "submitter", "tasks", "waiters")

    def __init__(self, waiters: Sequence[Waiter], tasks: int) -> None:
        self.waiters = waiters
        self.tasks = tasks
        self.ride: Ride | None = None
        self.submitter = ""  # this process, if it works on the queue and can claim nothing
        self.fate = Fate.QUEUED

    @property
    def give_up_at(self) -> float:
        """When the last of the waiters gives up, in the loop's time."""
        return max([each.give_up_at for each in self.waiters], default=0.0)

    @property
    def along(self) -> Along:
        """What goes along, as it is sent."""
        if self.ride is not None:
            return self.ride.along
        return Along(submitter=self.submitter) if self.submitter else ALONE

    def expire(self, now: float) -> None:
        """Give up the callers whose time is over. A submit that is reported as not stored is never sent again."""
        late = [each for each in self.waiters if not each.done() and each.give_up_at <= now]
        if not late:
            return
        may_be_stored = self.fate in MAY_BE_STORED
        if not may_be_stored:
            self.waiters = [each for each in self.waiters if each.done() or each.give_up_at > now]
        for each in late:
            each.unanswered(out_of_time(may_be_stored))

    @override
    def __len__(self) -> int:
        return len(self.waiters)

    @override
    def __contains__(self, group: object) -> bool:
        return group in list(self)

    @override
    def __iter__(self) -> Iterator[Group]:
        return iter([waiter.group() for waiter in self.waiters])

    def tell(self, submitted: Submitted) -> None:
        """Each of them has an answer."""
        self.fate = ON_ANSWER[self.fate]
        is_certain = self.fate is Fate.ANSWERED
        outcomes, answer = submitted.outcomes, None
        if len(outcomes) != len(self.waiters):
            raise AssertionError(f"{len(outcomes)} outcomes of {len(self.waiters)} groups")
        for waiter, outcome in zip(self.waiters, outcomes, strict=True):
            if answer is None or answer.outcome is not outcome:  # most are one and the same
                is_stored = outcome.word in STORED
                answer = _answer(outcome, moment(submitted.now_ms), is_stored, is_certain)
            if not waiter.done():
                waiter.answered(answer)

    def error_of(self, cause: StoreError) -> Unanswered:
        """The error for its callers."""
        return Unanswered(cause, is_ambiguous=self.fate in MAY_BE_STORED)

    def fail(self, error: Unanswered) -> None:
        """Answer the callers that have no answer yet with this error."""
        for waiter in self.waiters:
            if not waiter.done():
                waiter.unanswered(error)


def closed() -> Unanswered:
    """It was not sent, and won't be."""
    return given_up(Refused(SHUT_DOWN))


def cut_off() -> Unanswered:
    """It was sent, and its answer is no longer awaited."""
    return given_up(Ambiguous(SHUT_DOWN))


def out_of_time(is_ambiguous: bool) -> Unanswered:
    """The caller's patience is over."""
    return given_up(Ambiguous(NO_ANSWER) if is_ambiguous else Refused(NO_ANSWER))


def given_up(cause: StoreError) -> Unanswered:
    return Unanswered(cause, is_ambiguous=isinstance(cause, Ambiguous))


def unanswered(
    error: Unanswered, first: Submission, before: Sequence[TaskInfo]
) -> StoreUnavailableError | SubmitUncertainError:
    """The error for a piece that begins with `first`; `before`: what is stored already."""
    accepted = [info.task_id for info in before]
    if error.is_ambiguous:
        reason = str(error.__cause__) if isinstance(error.__cause__, Damaged) else ""
        return SubmitUncertainError(first.id, first.nonce, accepted, reason=reason)
    return StoreUnavailableError(f"task {first.id!r} was not stored: {error}", accepted)
