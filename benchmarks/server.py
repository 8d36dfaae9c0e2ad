"""A Redis of the benchmark's own: on loopback, on a free port, ended by its process id; and what its INFO says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import redis

from tests.support.redis_process import ProcessRedis, connect
from tests.support.redis_source import any_binary

OWN_COMMANDS = ("info", "config", "client", "command", "flushall")


class Server:
    """A running redis-server, nothing in it and nothing persisted."""

    def __init__(self, process: ProcessRedis, client: redis.Redis) -> None:
        self._process = process
        self._client = client
        self.url = process.url

    def cpu_seconds(self) -> float:
        """What it has used so far, in user and kernel."""
        used = self._client.info("cpu")
        return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])

    def memory_bytes(self) -> int:
        """What it has allocated, the buffers of its connections left out."""
        memory = self._client.info("memory")
        return int(memory["used_memory"]) - int(memory["mem_clients_normal"])

    def commands(self) -> int:
        """How many it has executed, those inside scripts included, the benchmark's own left out."""
        stats = self._client.info("commandstats")
        calls = {name.removeprefix("cmdstat_").partition("|")[0]: 0 for name in stats}
        for name, each in stats.items():
            calls[name.removeprefix("cmdstat_").partition("|")[0]] += int(each["calls"])
        return sum(count for name, count in calls.items() if name not in OWN_COMMANDS)

    def version(self) -> str:
        return str(self._client.info("server")["redis_version"])


@contextlib.contextmanager
def fresh_server() -> Iterator[Server]:
    """A server for one run."""
    process = ProcessRedis(binary=any_binary())
    process.start()
    try:
        with contextlib.closing(connect(process.url)) as client:
            yield Server(process, client)
    finally:
        process.stop()
