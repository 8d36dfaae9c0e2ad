"""A Redis in a container, by testcontainers. Imported only when a Docker engine may be there."""

import contextlib
import socket

import attrs
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient, get_docker_host

from tests.support.redis_process import (
    LOOPBACK,
    ServerFailed,
    connect,
    wait_until_ready,
)

REDIS_PORT = 6379
COMMAND = ["redis-server", "--protected-mode", "no", "--save", "", "--appendonly", "no"]
DEFAULT_ENGINE = "unix:///var/run/docker.sock"
ENGINE_SECONDS = 60
START_TRIES = 3
"""On a machine with much to do, an engine may publish a port behind which nothing ever answers."""


def engine_version() -> str:
    """The version of the Docker engine that answers; `ServerFailed` when none does."""
    try:
        # Whatever the Docker client raises here means the same: no engine for the tests.
        _knock(get_docker_host() or DEFAULT_ENGINE)
        with contextlib.closing(DockerClient(timeout=5).client) as client:
            return str(client.version()["Version"])
    except Exception as error:
        raise ServerFailed(f"no Docker engine answers ({_first_line(error)})") from error


def image_version(image: str) -> str | None:
    """The Redis version that an image declares; None when it is not on this machine yet."""
    try:
        with contextlib.closing(DockerClient(timeout=5).client) as client:
            declared = client.images.get(image).attrs["Config"]["Env"] or []
    except Exception:  # noqa: BLE001 - only used to tell a person; starting it will say what is wrong
        return None
    return dict(line.split("=", 1) for line in declared).get("REDIS_VERSION")


@attrs.define(kw_only=True, eq=False)
class ContainerRedis:
    """A Redis in a container of its own, published on a free port of the loopback interface."""

    image: str
    _container: DockerContainer | None = attrs.field(default=None, init=False)
    _url: str | None = attrs.field(default=None, init=False)

    @property
    def url(self) -> str:
        assert self._url is not None, "the container was not started"
        return self._url

    @property
    def origin(self) -> str:
        return f"container of {self.image}"

    def start(self) -> "ContainerRedis":
        """Start it (pulling the image where it is missing) and return once it answers."""
        for tries_left in reversed(range(START_TRIES)):
            try:
                # Errors of docker, requests and testcontainers come out here; all mean "no container".
                container = self._container = self._prepare()
                container.start()
                self._url = f"redis://{LOOPBACK}:{self._published()[0]['HostPort']}/0"
                wait_until_ready(self._url, still_runs=self.is_running)
            except Exception as error:
                reason = f"{_first_line(error)}{self._last_words()}"
                self.stop()
                if not tries_left:
                    raise ServerFailed(f"{self.image} can't be started: {reason}") from error
            else:
                return self
        raise AssertionError("unreachable")

    def is_running(self) -> bool:
        """What the engine, not Redis, says."""
        if self._container is None:
            return False
        self._container.reload()
        return self._container.status in {"created", "running"}

    def addresses(self) -> set[str]:
        """The addresses of this machine that the server is published on."""
        return {published["HostIp"] for published in self._published()}

    def run_inside(self, *command: str) -> str:
        """What a command prints that is run inside the container."""
        assert self._container is not None, "the container was not started"
        return self._container.exec(list(command)).output.decode()

    def clear(self) -> None:
        with contextlib.closing(connect(self.url)) as client:
            client.flushall()

    def stop(self) -> None:
        container, self._container = self._container, None
        if container is not None:
            container.stop()

    def _last_words(self) -> str:
        """The end of the container's log, for the report of a failed start."""
        try:
            assert self._container is not None
            output, errors = self._container.get_logs()
        except Exception as error:  # noqa: BLE001 - it is the report of another failure
            return f"; no log: {_first_line(error)}"
        return f"; its log ends with {(output + errors)[-500:].decode(errors='replace')!r}"

    def _published(self) -> list[dict[str, str]]:
        assert self._container is not None, "the container was not started"
        engine = self._container.get_docker_client().client.api
        published: list[dict[str, str]] = engine.port(
            self._container.get_container_id(), REDIS_PORT
        )
        return published

    def _prepare(self) -> DockerContainer:
        container = DockerContainer(self.image, docker_client_kw={"timeout": ENGINE_SECONDS})
        # docker-py's way to say "this address, any free port"; testcontainers has none, and would
        # publish the server to the network. So the engine must be on this machine.
        container.ports[f"{REDIS_PORT}/tcp"] = (LOOPBACK,)  # type: ignore[assignment]
        return container.with_command(COMMAND)


def _knock(engine: str) -> None:
    """Raise OSError where nobody listens: the Docker client would leave its socket open then."""
    if engine.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(engine.removeprefix("unix://"))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
