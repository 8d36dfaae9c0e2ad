"""A primary with replicas, and the Sentinels that watch them: processes on loopback, which a test owns."""

import contextlib
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import redis

from tests.support.redis_process import LOOPBACK, ProcessRedis, connect, free_port, wait_until_ready
from tests.support.rights import rights

SERVICE = "main"
USER, WATCHER = "kew", "kew-watch"  # as docs/redis.md calls them
PASSWORD = "s3cret"
DOWN_AFTER_MS = 500
PATIENCE = 30.0


class SentinelProcess:
    """One Sentinel, which writes what it learns into its configuration."""

    def __init__(
        self, binary: Path, primary: ProcessRedis, *, quorum: int, down_after_ms: int
    ) -> None:
        self.port = free_port()
        self._directory = Path(tempfile.mkdtemp(prefix="kew-sentinel-"))
        configuration = self._directory / "sentinel.conf"
        configuration.write_text(
            f"bind {LOOPBACK}\nport {self.port}\ndir {self._directory}\n"
            f"sentinel monitor {SERVICE} {LOOPBACK} {primary.port} {quorum}\n"
            f"user {WATCHER} on >{PASSWORD} {' '.join(rights(WATCHER))}\n"
            f"sentinel down-after-milliseconds {SERVICE} {down_after_ms}\n"
            f"sentinel failover-timeout {SERVICE} 3000\n"
        )
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(binary), str(configuration), "--sentinel"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until_ready(self.url, still_runs=lambda: self._process.poll() is None)

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}"

    @property
    def primary_port(self) -> int:
        with contextlib.closing(connect(self.url)) as client:
            return int(client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def facts(self) -> dict[bytes, bytes]:
        with contextlib.closing(connect(self.url)) as client:
            found = client.execute_command("SENTINEL", "MASTER", SERVICE)
        return found if isinstance(found, dict) else dict(zip(found[::2], found[1::2], strict=True))

    def fail_over(self) -> None:
        """Let it depose the primary, until it names another: it gives up if it has not seen a replica lately."""
        old = self.primary_port

        def is_over() -> bool:
            if self.primary_port == old:
                with contextlib.closing(connect(self.url)) as client:
                    client.execute_command("SENTINEL", "FAILOVER", SERVICE)
            return self.primary_port != old

        _once(is_over)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        shutil.rmtree(self._directory, ignore_errors=True)


@attrs.define(eq=False)
class Watched:
    """`servers` of which one is the primary, watched by `sentinels`."""

    servers: list[ProcessRedis]
    sentinels: list[SentinelProcess]

    @classmethod
    def start(
        cls,
        binary: Path,
        *,
        replicas: int = 2,
        sentinels: int = 3,
        down_after_ms: int = DOWN_AFTER_MS,
    ) -> "Watched":
        primary = ProcessRedis(binary=binary, options={"repl_diskless_sync_delay": 0}).start()
        started = cls([primary], [])
        try:
            for _ in range(replicas):
                options: dict[str, str | int] = {
                    "replicaof": f"{LOOPBACK} {primary.port}",
                    "repl_diskless_sync_delay": 0,
                }
                started.servers.append(ProcessRedis(binary=binary, options=options).start())
            for _ in range(sentinels):
                quorum = sentinels // 2 + 1
                started.sentinels.append(
                    SentinelProcess(binary, primary, quorum=quorum, down_after_ms=down_after_ms)
                )
            started.wait_until_complete()
        except BaseException:
            started.stop()
            raise
        return started

    @property
    def url(self) -> str:
        hosts = ",".join(f"{LOOPBACK}:{each.port}" for each in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}"

    def url_with_least_rights(self, *more: str) -> str:
        """The same for users with the documented rights, on the servers (and `more`) and at the Sentinels."""
        for server in self.servers:
            with contextlib.closing(connect(server.url)) as client:
                words = ("reset", "on", f">{PASSWORD}", *rights(USER), *more)
                client.execute_command("ACL", "SETUSER", USER, *words)
        login = f"?sentinel_username={WATCHER}&sentinel_password={PASSWORD}"
        return self.url.replace("://", f"://{USER}:{PASSWORD}@") + login

    @property
    def primary(self) -> ProcessRedis:
        """The one that the Sentinels name."""
        port = self.sentinels[0].primary_port
        return next(each for each in self.servers if each.port == port)

    def wait_until_complete(self) -> None:
        """Return once the Sentinels know each other and the replicas, and the replicas have all data."""
        others = str(len(self.sentinels) - 1).encode()
        replicas = str(len(self.servers) - 1).encode()
        _once(
            lambda: all(
                (known := each.facts())[b"num-other-sentinels"] == others
                and known[b"num-slaves"] == replicas
                and known[b"flags"] == b"master"
                for each in self.sentinels
            )
        )
        self.wait_until_replicated(len(self.servers) - 1)

    @property
    def failovers(self) -> int:
        """How many there were, whatever their cause."""
        return max(int(each.facts()[b"config-epoch"]) for each in self.sentinels)

    def bring_back(self, server: ProcessRedis) -> None:
        """Start one that was killed, as a replica of the primary."""
        replicaof = f"{LOOPBACK} {self.primary.port}"
        server.options = {**server.options, "replicaof": replicaof}
        server.start()

    def demote(self, server: ProcessRedis) -> None:
        """Make the former primary a replica now, which the Sentinels do about 10 s after a failover by command."""
        with contextlib.closing(connect(server.url)) as client:
            client.replicaof(LOOPBACK, self.primary.port)

    def wait_until_moved(self, old: ProcessRedis) -> None:
        """Return once all Sentinels name another primary, which each announces as soon as it does."""
        _once(lambda: all(each.primary_port != old.port for each in self.sentinels))

    def wait_until_replicated(self, replicas: int) -> None:
        """Return once the primary has so many replicas, which have all its data."""

        def is_replicated() -> bool:
            with contextlib.closing(connect(self.primary.url)) as client:
                found = client.info("replication")
            states = [
                each["state"] for name, each in found.items() if re.fullmatch(r"slave\d+", name)
            ]
            return found["role"] == "master" and states == ["online"] * replicas

        _once(is_replicated)

    def stop(self) -> None:
        for sentinel in self.sentinels:
            sentinel.stop()
        for server in self.servers:
            server.stop()


def _once(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(redis.RedisError, KeyError, StopIteration):
            if is_so():
                return
        assert time.monotonic() < deadline, "the Sentinels don't agree"
        time.sleep(0.02)
