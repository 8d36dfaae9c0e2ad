"""What a Redis has to be before anything is stored in it: read from INFO, as CONFIG is often forbidden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from redis.exceptions import AuthenticationError

from kew.adapters.redis.address import Address, NotThePrimary, facts_of
from kew.adapters.redis.connections import Connections
from kew.adapters.redis.durability import Unconfirmed
from kew.adapters.redis.keys import Keys
from kew.adapters.redis.library import Library
from kew.adapters.redis.refusals import without_stop
from kew.adapters.redis.wire import ReplyError, packed
from kew.app.ports import Refused, StoreError
from kew.domain.errors import StoreUnavailableError, StoreUnsuitableError, TaskQueueError
from kew.log import logger

OLDEST: Final = (7, 0)
UNKNOWN: Final = "unknown command"
NO_CLUSTER: Final = "cluster support disabled"
NO_DATABASE: Final = "DB index is out of range"


async def load(pool: Connections, library: Library) -> bool:
    """Let the server have the library, if it hasn't; False: it is too full to take it.

    Raises `Refused`, as the operation that needs it was not carried out.
    """
    try:
        await pool.call(packed("FUNCTION", "LOAD", library.text))
    except StoreError as error:
        if _code(error) == "OOM":
            return False
        if str(error.__cause__) != f"ERR Library '{library.name}' already exists":
            raise Refused(str(error)) from error.__cause__
    return True


async def check(pool: Connections, address: Address, library: Library, keys: Keys) -> None:
    """Connect, look, and load; raises `StoreUnavailableError` or `StoreUnsuitableError`, with advice."""
    facts = await check_server(pool, address, library)
    if facts.get("redis_mode") == "cluster":
        raise StoreUnsuitableError(
            f"Redis at {address.where} is a node of a Cluster: begin the URL with redis+cluster:// (or rediss+cluster://)"
        )
    await check_publish(pool, address, keys)
    await check_copied(pool, address, keys)


async def check_copied(pool: Connections, address: Address, keys: Keys) -> None:
    """What a process changed in half a copy would be overwritten once the copy goes on."""
    try:
        origin = await pool.call(packed("GET", keys.copy_mark))
    except StoreError as error:
        raise advised(error, address, "GET") from error.__cause__
    if origin is not None:
        raise StoreUnsuitableError(
            f"the namespace {keys.namespace} at {address.where} is an unfinished copy from "
            f"{origin.decode(errors='replace')}: repeat `kew copy`, or remove the copy"
        )


async def check_server(pool: Connections, address: Address, library: Library) -> Mapping[str, str]:
    """What one server says of itself, once it is found fit and has the library; raises as `check` does."""
    try:
        reply = await pool.call(packed("INFO"))
    except StoreError as error:
        raise advised(error, address, "INFO") from error.__cause__
    facts = facts_of(reply)
    _check_version(facts, address.where)
    _check_eviction(facts, address.where)
    try:
        await load(pool, library)
    except StoreError as error:
        raise advised(error, address, "FUNCTION LOAD") from error.__cause__
    return facts


async def check_publish(pool: Connections, address: Address, keys: Keys) -> None:
    """Publish something that no process listens to; raises as `check` does."""
    try:
        await pool.call(packed(keys.publish, keys.channel("check"), ""))
    except StoreError as error:
        raise advised(error, address, f"{keys.publish} on its channels") from error.__cause__


async def check_confirmed(pool: Connections, address: Address) -> None:
    """See a command confirmed; raises `StoreUnsuitableError` if that can't be here, else `StoreUnavailableError`."""
    try:
        await pool.call(packed("INFO", "server"))
    except StoreError as error:
        raise _unconfirmed(error, address) from error.__cause__


def _unconfirmed(error: StoreError, address: Address) -> TaskQueueError:
    where, durability = address.where, address.durability
    cause, command = error.__cause__, durability.command
    refusal = cause.refusal if isinstance(cause, Unconfirmed) else None
    if refusal is None:
        if not isinstance(cause, Unconfirmed):
            return advised(error, address, "INFO")
        return StoreUnavailableError(
            f"Redis at {where} doesn't confirm writes, as durability={durability.level} needs: {cause.missing}. "
            "Check its replicas (INFO replication), or choose durability=default"
        )
    if refusal.code == "NOPERM":
        return StoreUnsuitableError(
            f"Redis at {where} doesn't allow this user the command {command}, which durability={durability.level} "
            f"needs; {page_of(address)} has the ACL line"
        )
    why = "WAITAOF needs Redis 7.2 or later" if UNKNOWN in str(refusal) else without_stop(refusal)
    return StoreUnsuitableError(
        f"Redis at {where} can't be used with durability={durability.level}: {why}. "
        "durability=fsync needs an append-only file (appendonly yes); durability=replicated needs only replicas"
    )


def page_of(address: Address) -> str:
    """Where the rights are described that a user needs there."""
    return "docs/cluster.md" if address.is_node else "docs/redis.md"


def _code(error: StoreError) -> str:
    return error.__cause__.code if isinstance(error.__cause__, ReplyError) else ""


def advised(error: StoreError, address: Address, command: str) -> TaskQueueError:
    """What to raise for the error of such a command, with what to do about it."""
    where, cause, code = address.where, error.__cause__, _code(error)
    if isinstance(cause, NotThePrimary):
        return StoreUnsuitableError(f"Redis at {where} can't be used: {cause}; {cause.remedy}")
    if isinstance(cause, AuthenticationError) or code in ("NOAUTH", "WRONGPASS"):
        return StoreUnsuitableError(
            f"Redis at {where} refused the user or password; put them into the URL "
            "(redis://user:password@host, special characters as %XX) and check the server's ACL"
        )
    if code == "NOPERM":
        return StoreUnsuitableError(
            f"Redis at {where} doesn't allow this user the command {command}; "
            f"{page_of(address)} has the ACL line with the rights that kew needs"
        )
    if UNKNOWN in str(cause):
        return StoreUnsuitableError(
            f"Redis at {where} doesn't know the command {command}, which kew needs: it is not Redis 7.0 or later, "
            "or the command was renamed (rename-command in its configuration)"
        )
    if NO_DATABASE in str(cause):
        return StoreUnsuitableError(
            f"Redis at {where} has no database of that number ({cause}); "
            "end the URL with one that it has, /0 to /15 unless its setting `databases` says otherwise"
        )
    if NO_CLUSTER in str(cause):
        return StoreUnsuitableError(
            f"Redis at {where} is not a node of a Cluster: begin the URL with redis:// (or rediss://)"
        )
    return StoreUnavailableError(
        f"Redis at {where} can't be used ({without_stop(cause or error)}). "
        "Check that it runs, that host and port are right and that nothing blocks the way"
    )


def _check_version(facts: Mapping[str, str], where: str) -> None:
    text = facts.get("redis_version", "0")
    if tuple(int(part) for part in text.split(".")[:2] if part.isdecimal()) < OLDEST:
        raise StoreUnsuitableError(f"Redis at {where} is version {text}; kew needs 7.0 or newer")


def _check_eviction(facts: Mapping[str, str], where: str) -> None:
    policy = facts.get("maxmemory_policy", "noeviction")
    if facts.get("maxmemory", "0") == "0" or policy == "noeviction":
        return
    if policy.startswith("allkeys-"):
        raise StoreUnsuitableError(
            f"Redis at {where} evicts keys when its memory is full (maxmemory-policy {policy}), "
            "so it would lose tasks; set maxmemory-policy noeviction, or use another Redis"
        )
    logger.warning(
        "Redis at %s evicts keys with a TTL when its memory is full (maxmemory-policy %s); kew's keys have none, but "
        "a full Redis refuses new tasks; set maxmemory-policy noeviction",
        where,
        policy,
    )
