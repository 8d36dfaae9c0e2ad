"""A namespace of one store must not be one of several partitions: queues of the others would seem to be gone."""

from __future__ import annotations

from typing import Final

from kew.app.ports import Find, TaskStore
from kew.app.repeat import ask
from kew.domain.errors import StoreUnavailableError, StoreUnsuitableError
from kew.domain.partitions import LAYOUT_ID, laid_out
from kew.domain.task import Found
from kew.log import logger

WITHIN: Final = 0.5  # seconds; a store that answers nothing is not refused for that


async def check_undivided(store: TaskStore) -> None:
    """Raises `StoreUnsuitableError` if the store was used as a partition."""
    place = laid_out(await _layout(store))
    if place is not None and place.partitions > 1:
        raise StoreUnsuitableError(
            f"this is partition {place.number} of a namespace with {place.partitions}, and not all of it: connect with "
            f"the number of partitions with which it was created (?partitions={place.partitions} in the URL of a "
            "Cluster, or Parts.partitioned with all stores in their order), or choose another namespace"
        )


async def _layout(store: TaskStore) -> Found:
    try:
        (found,) = await ask(store, Find([LAYOUT_ID]), patience=WITHIN)
    except (StoreUnavailableError, StoreUnsuitableError) as error:  # so will all operations
        logger.debug("whether the store is one of several partitions is not known: %s", error)
        return None
    return found
