"""The part of the public API that declares schedules."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NoReturn, Unpack, cast

from kew.app.naming import Decorated, natural_name, undecorated
from kew.app.process import Process
from kew.app.registered import ALIASES, OPTIONS, Options
from kew.app.scheduling.declaring import TIMING, Declaration, Timing
from kew.domain.config import name_of
from kew.domain.schedule_errors import InvalidScheduleError
from kew.domain.suggestions import did_you_mean, taking
from kew.functions import TaskDecorator, TaskFunction
from kew.schedules import NO_QUEUE, Schedules
from kew.submitting import Submitting

TWICE = "schedule {0!r} is declared twice, for {1} and {2}: give one of them another name, @manager.periodic(name=...)"


class Periodic(Timing, Options, total=False):
    """The options of a periodic task: those of its schedule, and those of `@manager.task`."""


class Scheduling(Submitting):
    """How a manager declares schedules."""

    _process: Process | None

    @abstractmethod
    def task(
        self,
        *misplaced: NoReturn,
        name: str | None = None,
        task_type: str | None = None,
        **options: Unpack[Options],
    ) -> TaskDecorator:
        """Decorate a function."""

    @property
    def schedules(self) -> Schedules:
        """The schedules of the namespace: list them, pause and resume them, put further ones."""
        return Schedules(self._here, self.handle)

    # Long: it puts the decorator's values together, in the order in which they may be wrong.
    def periodic(
        self,
        cron: str | None = None,
        /,
        *,
        every: float | timedelta | None = None,
        name: str | None = None,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
        **options: Unpack[Periodic],
    ) -> TaskDecorator:
        """Decorate a function whose task a schedule submits: at the times of a cron expression, or `every` so often.

        `name` (the function's, by default) is unique in the namespace. `args` and `kwargs` are what it is called with;
        a parameter that is annotated with `kew.Tick` gets the tick. `tz`: the time zone of the cron expression.
        `overlap`, if the task of the tick before has not ended: "skip" the tick, let "one" wait, or "allow" it.
        `missed`, for ticks that no process could submit in time: "skip" them, submit "one" task for them, or "all",
        each if it is at most `catch_up` late. `jitter`: each starts later by up to so much. `start`, `end`: aware
        datetimes. Durations are seconds or timedeltas. The other options are those of `task`; `queue` is needed.

        The schedule is stored when this process creates the queue to work on it. Raises `InvalidScheduleError`, and
        `MissingExtraError` if cron expressions can't be read here.
        """
        _check(cron, options)
        timing = cast("Timing", {n: v for n, v in options.items() if n in TIMING})
        others: Any = {n: v for n, v in options.items() if n not in TIMING}

        def decorate(function: Callable[..., Any], /) -> TaskFunction[..., Any, Any]:
            before = function.registration if isinstance(function, Decorated) else None
            plain = undecorated(function)
            own = str(getattr(plain, "__name__", "task"))
            known = {**(before.options if before else {}), **others}
            if known.get("queue") is None:
                raise InvalidScheduleError(NO_QUEUE.format(name or own))
            said = Declaration(
                name=own if name is None else name,
                queue=name_of(known["queue"]),
                function=plain,
                task_type=own,
                cron=cron,
                every=every,
                args=args,
                kwargs=kwargs,
                timing=timing,
            )
            said.check()
            given = before.name if before else None
            if given is None and natural_name(plain) is None:
                given = said.name
            decorated = cast("TaskFunction[..., Any, Any]", self.task(name=given, **known)(plain))
            self._declare(said)
            return decorated

        return cast("TaskDecorator", decorate)

    def _declare(self, said: Declaration) -> None:
        found = self._registry.schedules.get(said.name)
        if found is not None and _place(found) != _place(said):
            raise InvalidScheduleError(TWICE.format(said.name, _place(found), _place(said)))
        shape = self._registry.registered(said.function).shape
        if shape is not None:
            try:
                shape.signature.bind(*said.args, **said.kwargs)
            except TypeError as error:
                raise InvalidScheduleError(
                    f"schedule {said.name!r}: its function can't be called like this: {error}; give args= or kwargs="
                ) from None
        if (process := self._process) is not None and not process.loop.is_closed():
            process.scheduling.declare_soon(said)
        self._registry.schedules[said.name] = said


def _check(cron: object, options: Mapping[str, object]) -> None:
    """Raise TypeError for a decorator without parentheses, and for an unknown option."""
    if callable(cron):
        raise TypeError(
            "@manager.periodic takes arguments: @manager.periodic('0 9 * * mon-fri', queue='reports'), or every=300"
        )
    known = (*TIMING, *OPTIONS)
    for name in options:
        if name not in known and name not in ALIASES:
            meant = did_you_mean(name, known)
            raise TypeError(f"@manager.periodic() has no option {name!r}{taking(known, meant)}")


def _place(said: Declaration) -> str:
    function = said.function
    return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', function)}"
