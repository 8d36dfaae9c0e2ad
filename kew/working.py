"""The part of the public API that creates the queues whose configurations the manager knows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from kew.domain.config import QueueConfig
from kew.domain.errors import InvalidConfigError, shown
from kew.domain.suggestions import did_you_mean
from kew.queues import Queue

HOW_TO_CONFIGURE = (
    "pass it as TaskQueueManager(queues=[QueueConfig({name!r})]), or to a function: "
    "@manager.task(queue=QueueConfig({name!r}))"
)


class KnownQueues:
    """The queues that a program names: by a configuration, or by name alone."""

    def __init__(self, configs: Iterable[QueueConfig] = ()) -> None:
        self._configs: dict[str, QueueConfig] = {}
        self._names: dict[str, None] = {}
        self._conflicts: set[str] = set()
        for config in configs:
            if not isinstance(config, QueueConfig):
                raise InvalidConfigError(
                    f"queues must be a list of QueueConfig, such as [QueueConfig('mails')], not {shown(config)}"
                )
            self.add(config)

    def add(self, queue: str | QueueConfig | None) -> None:
        """A function's queue, or one of the manager's."""
        if isinstance(queue, QueueConfig):
            known = self._configs.setdefault(queue.name, queue)
            if known != queue:
                self._conflicts.add(queue.name)
        elif queue is not None:
            self._names[queue] = None

    def of(self, names: tuple[str, ...]) -> list[QueueConfig]:
        """The configurations of these queues; of all if there are no names. Raises `InvalidConfigError`."""
        if not self._configs and not names:
            example = next(iter(self._names), "mails")
            raise InvalidConfigError(
                f"this manager knows the configuration of no queue: {HOW_TO_CONFIGURE.format(name=example)}"
            )
        return [self._config(name) for name in names or self._configs]

    def _config(self, name: str) -> QueueConfig:
        if name in self._conflicts:
            raise InvalidConfigError(
                f"queue {name!r} is configured in two different ways: make one QueueConfig, and use it everywhere"
            )
        if name in self._configs:
            return self._configs[name]
        if name in self._names:
            raise InvalidConfigError(
                f"only the name of queue {name!r} is known here: {HOW_TO_CONFIGURE.format(name=name)}"
            )
        meant = did_you_mean(name, list(self._configs))
        known = ", ".join(map(repr, self._configs)) or "none"
        raise InvalidConfigError(
            f"this manager knows no queue {shown(name)}{meant or f'; it knows {known}'}"
        )


class Working(ABC):
    """Creates queues that the program has configured elsewhere."""

    _known: KnownQueues

    @abstractmethod
    async def create_queue(self, config: QueueConfig, *, work: bool = True) -> Queue:
        """Create one queue."""

    async def create_queues(self, *names: str, work: bool = True) -> list[Queue]:
        """Create the queues that this manager knows, as `create_queue` does: all of them, or those of these names.

        It knows those of `TaskQueueManager(queues=[...])` and of `@manager.task(queue=QueueConfig(...))`. Raises
        `InvalidConfigError` for others. `kew worker` calls this.
        """
        return [await self.create_queue(config, work=work) for config in self._known.of(names)]
