"""The manager behind the API: the host's own, or one that is opened when it is first needed."""

from __future__ import annotations

from typing import Any

from kew import TaskQueueManager
from kew.bootstrap import DEFAULT_NAMESPACE
from kew.domain.errors import InvalidConfigError, shown
from kew.web.overview import Overview


class Backend:
    """Gives the API its manager. A URL's is opened by the first request, since a mounted app has no life of its own."""

    def __init__(self, manager_or_url: TaskQueueManager | str, namespace: str | None) -> None:
        """Raises `InvalidConfigError`."""
        self._overview = Overview()
        if isinstance(manager_or_url, TaskQueueManager):
            if namespace is not None:
                raise InvalidConfigError(
                    "namespace would be ignored beside a manager, which has its own: give one or the other"
                )
            self._manager, self._is_own = manager_or_url, False
        elif isinstance(manager_or_url, str):
            self._manager = TaskQueueManager(
                manager_or_url, namespace=namespace or DEFAULT_NAMESPACE
            )
            self._is_own = True
        else:
            raise InvalidConfigError(
                f"admin() takes a TaskQueueManager or a store's URL, not {shown(manager_or_url)}"
            )

    async def manager(self) -> TaskQueueManager:
        """The manager, ready. Raises what `initialize` raises; the next request tries again."""
        if self._is_own:
            await self._manager.initialize()
        return self._manager

    async def overview(self) -> dict[str, Any]:
        """All queues, and what needs attention. Raises `TaskQueueError`."""
        return await self._overview.read(await self.manager())

    async def close(self) -> None:
        """Close a manager that was opened here."""
        if self._is_own:
            await self._manager.shutdown()
