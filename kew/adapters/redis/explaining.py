"""What `lua/explain.lua` is called with, and its reply as a `Situation`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from kew.adapters.redis import records
from kew.adapters.redis.library import Argument
from kew.adapters.redis.replies import read_state
from kew.adapters.redis.settings import read_own_limits
from kew.domain.explaining import Candidate, Holder, Situation, SlotLimit
from kew.domain.incarnations import place_of
from kew.domain.key_limits import DECLARED
from kew.domain.queue import RECOVER_AT_ONCE
from kew.domain.sharing import NOTIFIED_AT_MOST, Starved
from kew.domain.situation import (
    CANDIDATES_AT_MOST,
    COMPARED_AT_MOST,
    COUNTED_AT_MOST,
    HOLDERS_AT_MOST,
)

BOUNDS: Final[dict[str, Argument]] = {
    "read_limit": COUNTED_AT_MOST,
    "holder_limit": HOLDERS_AT_MOST,
    "process_limit": 1_000,
    "candidate_limit": CANDIDATES_AT_MOST,
    "compare_limit": COMPARED_AT_MOST,
    "recover_limit": RECOVER_AT_ONCE,
}
SLOTS: Final = re.compile(rb"(\d+) ([01])")
STARVED: Final = re.compile(rb"(\d+) (\d+) (\d+)")


def read_situation(task_id: str, reply: Sequence[Any]) -> Situation | None:
    """What bears on a task; None: the queue has no such task. Raises `TaskUnreadableError`."""
    if len(reply) == 1:
        return None
    now, record, lease_until, state, numbers, holders, candidates, starved, of_key = reply
    key_held, takes_turns, key_holders, key_log, own = of_key
    held, horizon, ahead, is_counted, due, processes, able = numbers
    triples = zip(candidates[::3], candidates[1::3], candidates[2::3], strict=True)
    return Situation(
        now=now,
        horizon=horizon,
        task=records.read(task_id, record, int(lease_until)),
        state=read_state(*state),
        held=held,
        holders=_read_holders(holders),
        ahead=ahead,
        is_counted=bool(is_counted),
        due=due,
        processes=processes,
        able=able,
        candidates=tuple(
            Candidate(
                incarnation=who.decode(),
                holds=None if holds < 0 else holds,
                slots=_read_slots(slots),
            )
            for who, holds, slots in triples
        ),
        starved={
            who.decode(): _read_starved(text, now)
            for who, text in zip(starved[::2], starved[1::2], strict=True)
        },
        key_held=key_held,
        key_holders=_read_holders(key_holders),
        key_log=tuple(map(int, key_log.split())),
        key_limits=read_own_limits(own) if own else DECLARED,
        takes_turns=bool(takes_turns),
    )


def write_slots(slots: SlotLimit | None) -> str:
    """As `lua/announce.lua` keeps them: `most is_shared`; nothing for None."""
    return "" if slots is None else f"{slots.most} {slots.is_shared:d}"


def _read_slots(text: bytes | None) -> SlotLimit | None:
    found = SLOTS.fullmatch(text or b"")
    return SlotLimit(int(found[1]), found[2] == b"1") if found else None


def _read_holders(holders: Sequence[Any]) -> tuple[Holder, ...]:
    triples = zip(holders[::3], holders[1::3], holders[2::3], strict=True)
    return tuple(
        Holder(
            task_id=task_id.decode(),
            process=place_of(who.decode()),
            started_at=int(started_at),
        )
        for task_id, who, started_at in triples
    )


def _read_starved(text: bytes, now: int) -> Starved:
    """One that can't be read is about to be forgotten."""
    found = STARVED.fullmatch(text)
    return Starved(*map(int, found.groups())) if found else Starved(0, now, NOTIFIED_AT_MOST)
