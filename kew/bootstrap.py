"""The composition root: a URL and options in, wired services out. Every part can be replaced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import attrs

from kew.adapters.clocks import SystemClock, SystemEntropy, uptime
from kew.adapters.codecs import MessagePackCodec
from kew.adapters.threads import DaemonThreads
from kew.adapters.watchdog import ThreadWatchdog
from kew.app.maintainer import Maintainer
from kew.app.notices import Wakeup
from kew.app.observer import Observer
from kew.app.observing import ObservedStore
from kew.app.ports import (
    Codec,
    Entropy,
    TaskStore,
    Threads,
    Uptime,
    Watchdog,
)
from kew.app.process import Process
from kew.app.submitting.outbox import Outbox
from kew.app.working.executor import Executor
from kew.app.working.lanes import Lanes
from kew.app.working.worker import Worker
from kew.domain.config import TICK, QueueConfig, check_name
from kew.domain.durability import Durability, check_durability
from kew.domain.errors import InvalidConfigError

if TYPE_CHECKING:
    from kew.adapters.redis.cluster.copying import ClusterCopying
    from kew.adapters.redis.cluster.sides import Side
    from kew.adapters.redis.copying import Copying

DEFAULT_URL = "redis://localhost:6379"
DEFAULT_NAMESPACE = "kew"
REDIS_SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel")
CLUSTER_SCHEMES = ("redis+cluster", "rediss+cluster")
# Schemes that a message may quote; anything else before "://" may be a piece of a password.
OTHER_SCHEMES = ("http", "https", "tcp", "valkey", "valkeys", "keydb", "sentinel", "amqp")


@attrs.frozen(kw_only=True)
class Parts:
    """The adapters of one process. `address` says where the store is, without a password.

    `uptime` None: the event loop's own clock, on a machine that is never suspended.
    """

    store: TaskStore
    wakeup: Wakeup
    codec: Codec = attrs.field(factory=MessagePackCodec)
    entropy: Entropy = attrs.field(factory=SystemEntropy)
    threads: Threads = attrs.field(factory=DaemonThreads)
    uptime: Uptime | None = uptime
    watchdog: Watchdog = attrs.field(factory=ThreadWatchdog)
    address: str = attrs.field()
    namespace: str | None = None

    @address.default
    def _address(self) -> str:
        return type(self.store).__name__

    @classmethod
    def partitioned(cls, partitions: Sequence[Parts]) -> Parts:
        """One namespace over the stores of several parts, in this order; everything else is that of the first one.

        A queue lies in one partition for ever, by its name and the number of partitions. So don't change their number
        or order: opening the namespace with others raises `StoreUnsuitableError`, and so does making partitions of a
        store that already has queues. A single one is returned as it is.
        """
        from kew.app.partitions import PartitionedStore, PartitionedWakeup  # only if it is used

        if not partitions:
            raise InvalidConfigError("a namespace has at least one partition")
        first = partitions[0]
        if len(partitions) == 1:
            return first
        return attrs.evolve(
            first,
            store=PartitionedStore([parts.store for parts in partitions]),
            wakeup=PartitionedWakeup([parts.wakeup for parts in partitions]),
            address=f"{first.address} and {len(partitions) - 1} more",
        )


# Long: one kind of store after the other.
def connect(
    url: str,
    namespace: str,
    *,
    codec: Codec | None = None,
    client_name: str = "",
    durability: Durability | None = None,
) -> Parts:
    """The parts for a store's URL; nothing is connected yet. `client_name`: for the store's list of its clients.

    `durability`: as if the URL said it. Raises `InvalidConfigError`."""
    check_name(namespace, "namespace")
    if durability is not None:
        url = _with_durability(url, durability)
    more: dict[str, Any] = {"namespace": namespace}
    if codec is not None:
        more["codec"] = codec
    scheme = _scheme(url)
    if scheme == "memory":
        from kew.adapters.memory import connecting  # imported only if it is used

        name = url.removeprefix("memory://")
        store, wakeup = connecting.connect(name, namespace, SystemClock())
        return Parts(store=store, wakeup=wakeup, address=url, **more)
    if scheme == "sqlite":
        from kew.adapters import sqlite  # imported only if it is used

        file_store, file_wakeup = sqlite.connect(url, namespace, SystemClock())
        shown = f"sqlite://{file_store.address.path}"
        return Parts(store=file_store, wakeup=file_wakeup, address=shown, **more)
    if scheme in REDIS_SCHEMES:
        from kew.adapters import redis  # imported only if it is used

        redis_store, redis_wakeup = redis.connect(url, namespace, client_name=client_name)
        where = redis_store.address
        shown = f"{scheme}://{where.where}" + (f"/{where.database}" if where.database else "")
        return Parts(store=redis_store, wakeup=redis_wakeup, address=shown, **more)
    if scheme in CLUSTER_SCHEMES:
        from kew.adapters.redis import cluster  # imported only if it is used
        from kew.app.partitions import PartitionedStore

        stores, cluster_wakeup = cluster.connect(url, namespace, client_name=client_name)
        shown = f"{scheme}://{stores[0].address.where}"
        whole = stores[0] if len(stores) == 1 else PartitionedStore(stores)
        return Parts(store=whole, wakeup=cluster_wakeup, address=shown, **more)
    raise InvalidConfigError(
        "the store's URL must begin with redis://, rediss://, unix://, redis+sentinel://, redis+cluster://, sqlite:// "
        "or memory://" + (f", not {scheme}://" if scheme in OTHER_SCHEMES else "")
    )


def _with_durability(url: str, level: str) -> str:
    """The URL that chooses this durability. Raises `InvalidConfigError` if its store has none, or it says another."""
    check_durability(level)
    scheme = _scheme(url)
    if scheme not in (*REDIS_SCHEMES, *CLUSTER_SCHEMES):
        if level == "default":
            return url
        advice = {
            "sqlite": ": a file is synced at each change unless its URL ends with ?synchronous=normal",
            "memory": ": a store in memory ends with its process",
        }
        raise InvalidConfigError(
            f"durability={level} is a choice for Redis alone{advice.get(scheme, '')}; remove it"
        )
    try:
        query = urlsplit(url).query
    except ValueError:
        return url  # reading it raises, with advice
    said = parse_qs(query, keep_blank_values=True).get("durability", [level])
    if said != [level]:
        raise InvalidConfigError(
            f"durability={level} was given beside a URL that says otherwise: choose it in one place"
        )
    return (
        url
        if "durability" in parse_qs(query)
        else f"{url}{'&' if query else '?'}durability={level}"
    )


def copying(source: str, target: str, namespace: str) -> Copying | ClusterCopying:
    """A copy of a namespace from one Redis to another, not begun yet. Raises `InvalidConfigError`."""
    schemes = {_scheme(source), _scheme(target)}
    if not schemes <= {*REDIS_SCHEMES, *CLUSTER_SCHEMES}:
        raise InvalidConfigError(
            "a namespace is copied from one Redis to another: give two URLs that begin with redis://, rediss://, "
            "unix://, redis+sentinel:// or redis+cluster://"
        )
    check_name(namespace, "namespace")
    from kew.adapters import redis  # imported only if it is used

    if schemes <= {*REDIS_SCHEMES}:
        from kew.adapters.redis.copying import Copying

        return Copying(redis.where(source), redis.where(target), namespace)
    from kew.adapters.redis.cluster.copying import ClusterCopying

    return ClusterCopying(_side(source, namespace), _side(target, namespace))


def _side(url: str, namespace: str) -> Side:
    """One of the two Redis of a copy."""
    from kew.adapters import redis
    from kew.adapters.redis import cluster
    from kew.adapters.redis.cluster.sides import ClusterSide, Side
    from kew.app.partitions import PartitionedStore

    if _scheme(url) in REDIS_SCHEMES:
        return Side.of_server(redis.where(url), namespace)
    stores = cluster.unchecked_stores(url, namespace)
    return ClusterSide(stores, PartitionedStore(stores) if len(stores) > 1 else None)


def parts_of(
    url: str,
    namespace: str,
    codec: Codec | None,
    parts: Parts | None,
    observer: Observer | None = None,
    client_name: str = "",
    durability: Durability | None = None,
) -> Parts:
    """The parts that were given, or those for the URL; the observer, if there is one, sees what the store is asked."""
    found = _parts_of(url, namespace, codec, parts, client_name, durability)
    if observer is None:
        return found
    return attrs.evolve(found, store=ObservedStore(found.store, observer, found.codec))


def _parts_of(
    url: str,
    namespace: str,
    codec: Codec | None,
    parts: Parts | None,
    client_name: str,
    durability: Durability | None,
) -> Parts:
    """What parts have of their own, given beside them, is refused."""
    if parts is None:
        return connect(url, namespace, codec=codec, client_name=client_name, durability=durability)
    beside = {
        "redis_url": url != DEFAULT_URL,
        "namespace": namespace != DEFAULT_NAMESPACE,
        "codec": codec is not None,
        "durability": durability is not None,
    }
    ignored = [name for name, was_given in beside.items() if was_given]
    if ignored:
        raise InvalidConfigError(
            f"{ignored[0]} would be ignored beside parts, which have their own: give one or the other"
        )
    return parts


def _scheme(url: object) -> str:
    """What stands before "://"; "" for what is no URL."""
    return url.partition("://")[0] if isinstance(url, str) and "://" in url else ""


@attrs.frozen(kw_only=True)
class QueueServices:
    """The services of one queue that this process declared; without a worker, it only submits to it."""

    config: QueueConfig
    outbox: Outbox
    maintainer: Maintainer
    worker: Worker | None

    def abandon(self) -> None:
        """Close it, since its declaration failed: it announces and claims nothing."""
        self.maintainer.close()
        if self.worker is not None:
            self.worker.close()

    def is_ready(self, function: str) -> bool:
        """The store knows whether it can give this process tasks of the function."""
        return self.worker is None or self.maintainer.has_announced(function)


def serve(
    config: QueueConfig,
    process: Process,
    *,
    tick: float = TICK,
    work: bool = True,
) -> QueueServices:
    """Wire a queue's services. Nothing is started or declared yet."""
    parts = process.parts
    executor = Executor(
        config,
        registry=process.registry,
        codec=parts.codec,
        threads=parts.threads,
        entropy=parts.entropy,
    )
    maintainer = Maintainer(
        config.name,
        incarnation=process.incarnation,
        settings=config.settings(),
        store=parts.store,
        registry=process.registry,
        entropy=parts.entropy,
        works=work,
        slots=process.capacity.slots_of(config),
        presence=process.presence,
        tick=tick,
    )
    worker = _worker(config, process, executor, maintainer) if work else None
    outbox = Outbox(
        config.name,
        parts.store,
        settler=worker.settler if worker else None,
        restore=maintainer.restore,
    )
    return QueueServices(config=config, outbox=outbox, maintainer=maintainer, worker=worker)


def _worker(
    config: QueueConfig,
    process: Process,
    executor: Executor,
    maintainer: Maintainer,
) -> Worker:
    return Worker(
        config,
        lanes=Lanes(process.incarnation, process.lane_numbers),
        store=process.parts.store,
        executor=executor,
        reporter=process.reporter,
        tracer=process.tracer,
        capacity=process.capacity,
        admission=process.admission,
        uptime=process.parts.uptime,
        restore=maintainer.restore,
        compare=maintainer.compare,
    )
