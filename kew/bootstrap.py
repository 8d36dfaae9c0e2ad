"""The composition root: a URL and options in, wired services out. Every part can be replaced."""

from __future__ import annotations

from typing import Any

import attrs

from kew.adapters.clocks import SystemClock, SystemEntropy
from kew.adapters.codecs import MessagePackCodec
from kew.adapters.memory.hub import MemoryWakeup
from kew.adapters.memory.namespace import Namespace
from kew.adapters.memory.store import MemoryStore
from kew.adapters.threads import DaemonThreads
from kew.adapters.watchdog import ThreadWatchdog
from kew.app.executor import Executor
from kew.app.lanes import Lanes
from kew.app.maintainer import Maintainer
from kew.app.outbox import Outbox
from kew.app.ports import Codec, Entropy, TaskStore, Threads, Wakeup, Watchdog
from kew.app.process import Process
from kew.app.worker import Worker
from kew.domain.config import TICK, QueueConfig, check_name
from kew.domain.errors import InvalidConfigError

DEFAULT_URL = "redis://localhost:6379"
DEFAULT_NAMESPACE = "kew"
REDIS_SCHEMES = ("redis", "rediss", "unix")
_shared: dict[tuple[str, str], Namespace] = {}


@attrs.frozen(kw_only=True)
class Parts:
    """The adapters of one process."""

    store: TaskStore
    wakeup: Wakeup
    codec: Codec = attrs.field(factory=MessagePackCodec)
    entropy: Entropy = attrs.field(factory=SystemEntropy)
    threads: Threads = attrs.field(factory=DaemonThreads)
    watchdog: Watchdog = attrs.field(factory=ThreadWatchdog)


def connect(url: str, namespace: str, *, codec: Codec | None = None) -> Parts:
    """The parts for a store's URL; nothing is connected yet. Raises `InvalidConfigError`."""
    check_name(namespace, "namespace")
    more: dict[str, Any] = {} if codec is None else {"codec": codec}
    scheme = _scheme(url)
    if scheme == "memory":
        shared = _namespace(url.removeprefix("memory://"), namespace)
        store = MemoryStore(SystemClock(), shared)
        return Parts(store=store, wakeup=MemoryWakeup(shared.hub), **more)
    if scheme in REDIS_SCHEMES:
        from kew.adapters import redis  # imported only where it is used

        redis_store, redis_wakeup = redis.connect(url, namespace)
        return Parts(store=redis_store, wakeup=redis_wakeup, **more)
    raise InvalidConfigError(
        "the store's URL must begin with redis://, rediss://, unix:// or memory://"
        + (f", not {scheme}://" if scheme else "")
    )


def parts_of(url: str, namespace: str, codec: Codec | None, parts: Parts | None) -> Parts:
    """The parts that were given, or those for the URL. What parts have of their own, given beside them, is refused."""
    if parts is None:
        return connect(url, namespace, codec=codec)
    beside = {
        "redis_url": url != DEFAULT_URL,
        "namespace": namespace != DEFAULT_NAMESPACE,
        "codec": codec is not None,
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


def _namespace(name: str, namespace: str) -> Namespace:
    """`memory://` is private to its manager, `memory://name` is shared by the managers of an event loop."""
    if not name:
        return Namespace()
    check_name(name, "memory store's name")
    return _shared.setdefault((name, namespace), Namespace())


@attrs.frozen(kw_only=True)
class Served:
    """The services of one queue that this process declared; without a worker, it only submits to it."""

    config: QueueConfig
    outbox: Outbox
    maintainer: Maintainer
    worker: Worker | None

    def abandon(self) -> None:
        """It was not declared: it announces and claims nothing, whoever holds on to it."""
        self.maintainer.close()
        if self.worker is not None:
            self.worker.close()

    def is_ready(self) -> bool:
        """The store knows every function that this process can be given tasks of."""
        return self.worker is None or self.maintainer.is_announced


def serve(
    config: QueueConfig,
    process: Process,
    *,
    patience: float,
    tick: float = TICK,
    work: bool = True,
) -> Served:
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
        works=work,
        tick=tick,
    )
    worker = _worker(config, process, executor, maintainer) if work else None
    outbox = Outbox(
        config.name,
        parts.store,
        patience=patience,
        worker=worker,
        restore=maintainer.restore,
    )
    return Served(config=config, outbox=outbox, maintainer=maintainer, worker=worker)


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
        capacity=process.capacity,
        admission=process.admission,
        restore=maintainer.restore,
        refresh=maintainer.refresh,
    )
