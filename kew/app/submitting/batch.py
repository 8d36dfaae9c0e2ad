"""Batches: what a caller gives is checked and cut into pieces, and the next piece is on its way while one is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from kew.app.naming import Decorated
from kew.app.ports import Ambiguous
from kew.app.submitting.encoding import ENTRY_OPTIONS, TOKEN_NEEDS_ID, Call
from kew.app.submitting.outbox import MOST_BYTES, Outbox
from kew.app.submitting.trips import Answer, Unanswered
from kew.domain.errors import InvalidTaskError, TaskAlreadyExistsError, named
from kew.domain.requests import Group, SubmitRef, Word
from kew.domain.suggestions import did_you_mean
from kew.domain.task import MAX_ID_BYTES, Submission

REQUIRED = ("task_id", "task_type", "task_func")
NEEDED = frozenset(REQUIRED)
MOST_SHOWN = 40  # letters of a key
LISTS = (list, tuple)
KEYS = frozenset({*REQUIRED, "priority", "args", "kwargs", *(f"_{name}" for name in ENTRY_OPTIONS)})

Piece = tuple[Submission, ...]


def check_batch(tasks: object) -> None:
    """A sequence of mappings, else `InvalidTaskError`."""
    if not isinstance(tasks, Sequence) or isinstance(tasks, str | bytes):
        raise InvalidTaskError("?", f"a batch is a list of mappings, not {type(tasks).__name__}")
    for number, task in enumerate(tasks):
        if type(task) is not dict and not isinstance(task, Mapping):
            reason = f"entry {number} of the batch is no mapping but {type(task).__name__}"
            raise InvalidTaskError("?", reason)


def call_of(task: Mapping[str, Any], new_task_id: Callable[[str], str]) -> Call:
    """An entry of a batch as a call. Raises `InvalidTaskError`.

    A decorated function brings a `task_type`, of which `new_task_id` makes an id if the entry has none.
    """
    if not NEEDED <= task.keys() <= KEYS:
        task = _with_underscores(_completed(task, new_task_id))
    args, kwargs = task.get("args"), task.get("kwargs")
    check_arguments(task["task_id"], args, kwargs)
    function = task["task_func"]
    decorated = None
    if isinstance(function, Decorated):
        decorated = function.registration
        function = function.function
    return Call(
        task_id=task["task_id"],
        task_type=task["task_type"],
        function=function,
        args=args or (),
        kwargs=kwargs or {},
        priority=task.get("priority"),
        defer_until=task.get("_defer_until"),
        defer_by=task.get("_defer_by"),
        expires_in=task.get("_expires_in"),
        cost=task.get("_cost"),
        token=task.get("_token"),
        key=task.get("_key"),
        decorated=decorated,
    )


def check_arguments(task_id: object, args: object, kwargs: object) -> None:
    """Raise `InvalidTaskError` for what can't be the arguments of a call; None: there are none."""
    if args is not None and not isinstance(args, LISTS):
        reason = f"its 'args' are a list or tuple, not {type(args).__name__}"
        raise InvalidTaskError(named(task_id), reason)
    if kwargs is not None and not _are_keywords(kwargs):
        raise InvalidTaskError(named(task_id), "its 'kwargs' are a mapping from names")


def _completed(task: Mapping[str, Any], new_task_id: Callable[[str], str]) -> Mapping[str, Any]:
    """The entry of a decorated function with what it may leave out; any other as it is."""
    function = task.get("task_func")
    if not isinstance(function, Decorated):
        return task
    if "task_id" not in task and (task.get("token") or task.get("_token")):
        raise InvalidTaskError("?", TOKEN_NEEDS_ID)
    defaults: dict[str, Any] = {"task_type": function.task_type}
    if "task_id" not in task:
        defaults["task_id"] = new_task_id(str(task.get("task_type", function.task_type)))
    return {**defaults, **task}


def _with_underscores(task: Mapping[str, Any]) -> Mapping[str, Any]:
    """The entry with its options named as `submit_task` names them. Raises `InvalidTaskError` for unknown keys."""
    renamed: dict[str, Any] = {}
    for key, value in task.items():
        name = f"_{key}" if key in ENTRY_OPTIONS else key
        if name in renamed:
            reason = f"its mapping has {name[1:]!r} twice, with and without the underscore"
            raise InvalidTaskError(named(task.get("task_id", "?")), reason)
        renamed[name] = value
    if not NEEDED <= renamed.keys() <= KEYS:
        raise _mistaken(task)
    return renamed


def _mistaken(task: Mapping[str, Any]) -> InvalidTaskError:
    missing = [key for key in REQUIRED if key not in task]
    unknown = sorted(named(key)[:MOST_SHOWN] for key in task.keys() - KEYS.union(ENTRY_OPTIONS))
    meant = did_you_mean(unknown[0], [*KEYS, *ENTRY_OPTIONS]) if unknown else ""
    what = (
        f"lacks {' and '.join(map(repr, missing))}"
        if missing
        else f"has the unknown key{'s' * (len(unknown) > 1)} {', '.join(map(repr, unknown))}{meant}"
    )
    return InvalidTaskError(named(task.get("task_id", "?")), f"its mapping {what}")


def _are_keywords(kwargs: object) -> bool:
    return isinstance(kwargs, Mapping) and all(isinstance(name, str) for name in kwargs)


def refuse_twins(submissions: Sequence[Submission]) -> None:
    if len({submission.id for submission in submissions}) == len(submissions):
        return
    seen: set[str] = set()
    for submission in submissions:
        if submission.id in seen:
            raise TaskAlreadyExistsError(submission.id, is_twice=True)
        seen.add(submission.id)


def pieces(submissions: Sequence[Submission], most: int) -> Iterator[Piece]:
    """Cut, in order, at `most` tasks or 1 MiB."""
    for start in range(0, len(submissions), most):
        piece = submissions[start : start + most]
        if sum([len(each.payload) for each in piece]) <= MOST_BYTES - len(piece) * MAX_ID_BYTES:
            yield tuple(piece)
        else:
            yield from _pieces_by_size(piece)


def _pieces_by_size(submissions: Sequence[Submission]) -> Iterator[Piece]:
    start = size = 0
    for n, submission in enumerate(submissions):
        size += submission.size
        if n > start and size > MOST_BYTES:
            yield tuple(submissions[start:n])
            start, size = n, submission.size
    yield tuple(submissions[start:])


class PieceAnswer(asyncio.Future[Answer]):
    """The store's answer to a piece, or `Unanswered`."""

    __slots__ = ("_group", "give_up_at")

    def __init__(self, group: Group, give_up_at: float) -> None:
        super().__init__()
        self._group = group
        self.give_up_at = give_up_at

    @property
    def tasks(self) -> int:
        """How many the piece has."""
        return len(self._group.submissions)

    @property
    def size(self) -> int:
        """Its bytes, roughly."""
        return sum([call.size for call in self._group.submissions])

    def group(self) -> Group:
        """The piece, as the store is asked to take it."""
        return self._group

    answered = asyncio.Future.set_result
    unanswered = asyncio.Future.set_exception


@attrs.frozen
class Underway:
    """A piece of a batch, and the answer to come. `is_certain`: no earlier sending of it is without an answer."""

    piece: Piece
    answered: PieceAnswer
    is_certain: bool = True

    @property
    def is_early(self) -> bool:
        """It overtook the piece before it, so it has to be sent again."""
        if not self.answered.done() or self.answered.cancelled() or self.answered.exception():
            return False
        return self.answered.result().outcome.word is Word.EARLY

    def again(self, outbox: Outbox, patience: float) -> Underway:
        """Sent once more, after it was early: the piece before it is in by now, or just before it on its way."""
        is_certain = self.is_certain and self.answered.result().is_certain
        return Underway(self.piece, sent(outbox, self.piece, patience), is_certain)

    async def answer(self) -> Answer:
        """What the store says. Raises `Unanswered`."""
        try:
            answer = await self.answered
        except Unanswered as error:
            if self.is_certain:
                raise
            # Other callers may have the same error object, so it is not changed.
            raise Unanswered(Ambiguous(str(error)), is_ambiguous=True) from error
        return answer if self.is_certain else attrs.evolve(answer, is_certain=False)


def sent(outbox: Outbox, piece: Piece, patience: float, before: Piece | None = None) -> PieceAnswer:
    """The answer to a piece that is on its way from here on, to be stored only if the piece `before` it is."""
    give_up_at = asyncio.get_running_loop().time() + patience
    after = SubmitRef(before[-1].id, before[-1].nonce) if before else None
    answer = PieceAnswer(Group(submissions=piece, after=after), give_up_at)
    answer.add_done_callback(_retrieved)  # if the piece before it failed, this one is never awaited
    outbox.send(answer)
    return answer


def _retrieved(answer: asyncio.Future[Answer]) -> None:
    if not answer.cancelled():
        answer.exception()


def underway(outbox: Outbox, cut: Iterable[Piece], patience: float) -> Iterator[Underway]:
    """Each piece on its way, while the next one is so already. Each waits `patience` seconds for its answer."""
    before: Underway | None = None
    for piece in cut:
        if before is not None and before.is_early:  # else all that follow would be early too
            before = before.again(outbox, patience)
        begun = Underway(piece, sent(outbox, piece, patience, before.piece if before else None))
        if before is not None:
            yield before
        before = begun
    if before is not None:
        yield before
