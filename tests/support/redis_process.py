"""Redis servers as things a test owns: a process started from a binary, or a container.

Everything here is started, watched and stopped by whoever made it, listens on loopback alone and
takes a free port. Which server a test run uses is decided in `redis_source`.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import attrs
import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

LOOPBACK = "127.0.0.1"
READY_SECONDS = 60.0
STOP_SECONDS = 10.0
START_TRIES = 5
"""A free port can be taken by somebody else before Redis binds it; then another one is tried."""


class ServerFailed(Exception):
    """A Redis could not be started or reached; the message says why."""


class RedisServer(Protocol):
    """A running Redis. `stop` may be called more than once."""

    @property
    def url(self) -> str: ...

    @property
    def origin(self) -> str:
        """Where it comes from, in words for a person; never a password."""

    def clear(self) -> None:
        """Forget everything that tests stored, so that the next test starts with nothing."""

    def stop(self) -> None: ...


def connect(url: str) -> "redis.Redis":
    """A plain client: short timeouts, and no command is ever sent twice."""
    return redis.Redis.from_url(
        url, socket_timeout=5, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0)
    )


def server_version(url: str) -> str:
    """The version that a running server tells."""
    with contextlib.closing(connect(url)) as client:
        return str(client.info("server")["redis_version"])


def binary_version(binary: Path) -> str:
    """The version that a redis-server binary tells, without starting a server."""
    try:
        told = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=10
        ).stdout
    except OSError as error:
        raise ServerFailed(f"{binary} can't be run: {error}") from error
    found = re.search(r"\bv=(\d+\.\d+\.\d+)", told)
    if found is None:
        raise ServerFailed(f"{binary} does not tell its version")
    return found[1]


def major(version: str) -> int:
    return int(version.partition(".")[0])


def wait_until_ready(url: str, still_runs: Callable[[], bool]) -> None:
    """Return once the server answers; `ServerFailed` when it ends or takes too long."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            with contextlib.closing(connect(url)) as client:
                client.ping()
        except RedisError as error:
            if not still_runs():
                raise ServerFailed("it ended while starting") from error
            if time.monotonic() > deadline:
                raise ServerFailed(f"no answer within {READY_SECONDS:g} s: {error}") from error
            time.sleep(0.01)  # a starting server has nothing to signal with
        else:
            return


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


@attrs.define(kw_only=True, eq=False)
class ProcessRedis:
    """A redis-server process. Starts on `start()`, may be killed and started again on its port.

    `options` are Redis's own, with underscores for dashes: `maxmemory_policy="allkeys-lru"`.
    Nothing is persisted unless they ask for it. `directory` holds data and log (`redis.log`); one
    that is not given is made, and removed by `stop()`.
    """

    binary: Path
    options: Mapping[str, str | int] = attrs.field(factory=dict)
    directory: Path | None = None
    port: int | None = None
    origin: str = attrs.field(default=attrs.Factory(lambda self: str(self.binary), takes_self=True))
    _own_directory: Path | None = attrs.field(default=None, init=False)
    _process: subprocess.Popen[bytes] | None = attrs.field(default=None, init=False)

    @property
    def url(self) -> str:
        password = self.options.get("requirepass")
        login = "" if password is None else f":{quote(str(password), safe='')}@"
        return f"redis://{login}{LOOPBACK}:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server was not started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """It was started, and neither killed nor stopped by its owner."""
        return self._process is not None

    @property
    def log(self) -> str:
        return (self._data() / "redis.log").read_text(errors="replace")

    def start(self) -> "ProcessRedis":
        """Start it and return once it answers. On a port of its own choice it tries a few."""
        if self.port is not None:
            self._start_on(self.port)
            return self
        for tries_left in reversed(range(START_TRIES)):
            self.port = free_port()
            try:
                self._start_on(self.port)
            except ServerFailed:
                if not tries_left or "Address already in use" not in self.log:
                    raise
            else:
                return self
        raise AssertionError("unreachable")

    def kill(self) -> None:
        """SIGKILL, as a crash would: nothing is saved, no connection is closed politely."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it without saving, and remove what it left in a directory of its own."""
        self._end(signal.SIGTERM)
        if self._own_directory is not None:
            shutil.rmtree(self._own_directory, ignore_errors=True)
            self._own_directory = None

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, until `thaw()`."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def clear(self) -> None:
        with contextlib.closing(connect(self.url)) as client:
            client.flushall()

    def _start_on(self, port: int) -> None:
        assert self._process is None, "the server runs already"
        with (self._data() / "redis.log").open("ab") as log:
            self._process = process = subprocess.Popen(
                self._command(port), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            wait_until_ready(self.url, still_runs=lambda: process.poll() is None)
        except ServerFailed as error:
            self._end(signal.SIGKILL)
            raise ServerFailed(f"{self.binary}: {error}\n{self.log[-1000:]}") from error

    def _command(self, port: int) -> list[str]:
        settings = {
            "bind": LOOPBACK,
            "port": port,
            "dir": self._data(),
            "save": "",
            "appendonly": "no",
            **{name.replace("_", "-"): value for name, value in self.options.items()},
        }
        arguments = [(f"--{name}", str(value)) for name, value in settings.items()]
        return [str(self.binary), *(word for pair in arguments for word in pair)]

    def _data(self) -> Path:
        if self.directory is not None:
            return self.directory
        if self._own_directory is None:
            self._own_directory = Path(tempfile.mkdtemp(prefix="kew-redis-"))
        return self._own_directory

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)  # a frozen one would not hear a SIGTERM
        process.send_signal(how)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
