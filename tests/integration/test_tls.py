"""A Redis that is reached over TLS, and asks for a certificate of its clients."""

from pathlib import Path
from typing import Any

import pytest
import trustme

from kew import QueueConfig, StoreUnavailableError
from tests.conftest import PrivateRedis
from tests.integration.conftest import Managers
from tests.support import jobs
from tests.support.asking import end_of, submit
from tests.support.clusters import become_whole_cluster
from tests.support.redis_process import LOOPBACK, free_port


class Secured:
    """A server that trusts the clients of one authority, and what its clients put into their URLs."""

    def __init__(self, private_redis: PrivateRedis, directory: Path, **more: Any) -> None:
        authority, self.directory, self.port = trustme.CA(), directory, free_port()
        authority.cert_pem.write_to_path(str(directory / "ca.pem"))
        for name in (LOOPBACK, "client"):
            issued = authority.issue_cert(name)
            issued.private_key_pem.write_to_path(str(directory / f"{name}.key"))
            issued.cert_chain_pems[0].write_to_path(str(directory / f"{name}.pem"))
        self.server = private_redis(
            **more,
            tls_port=self.port,
            tls_cert_file=str(directory / f"{LOOPBACK}.pem"),
            tls_key_file=str(directory / f"{LOOPBACK}.key"),
            tls_ca_cert_file=str(directory / "ca.pem"),
            tls_auth_clients="yes",
        )
        self.trusts = f"ssl_ca_certs={directory / 'ca.pem'}"
        self.shows = (
            f"ssl_certfile={directory / 'client.pem'}&ssl_keyfile={directory / 'client.key'}"
        )

    def url(self, *options: str, host: str = LOOPBACK) -> str:
        return f"rediss://{host}:{self.port}?{'&'.join(options)}"


@pytest.fixture
def secured(private_redis: PrivateRedis, tmp_path: Path) -> Secured:
    return Secured(private_redis, tmp_path)


async def test_a_client_with_a_certificate_submits_runs_and_is_notified(
    secured: Secured, managers: Managers
):
    manager = await managers(secured.url(secured.trusts, secured.shows))
    await manager.create_queue(QueueConfig("q"))
    await submit(manager, "a", jobs.echo, value="x" * 60_000)
    assert (await end_of(manager, "a")).result == "x" * 60_000
    assert (await manager.get_queue_status("q"))["notifications"] == "ok"


async def test_the_nodes_of_a_cluster_are_reached_over_tls_wherever_the_map_leads(
    private_redis: PrivateRedis, tmp_path: Path, managers: Managers
):
    secured = Secured(
        private_redis,
        tmp_path,
        cluster_enabled="yes",
        cluster_port=free_port(),
        tls_cluster="yes",
    )
    become_whole_cluster(secured.server)
    url = secured.url(secured.trusts, secured.shows, "partitions=4")
    manager = await managers(url.replace("rediss://", "rediss+cluster://"))
    await manager.create_queue(QueueConfig("q"))
    await submit(manager, "a", jobs.echo, value=1)
    assert (await end_of(manager, "a")).result == 1
    assert (await manager.get_queue_status("q"))["notifications"] == "ok"


async def test_a_client_without_a_certificate_is_refused(secured: Secured, managers: Managers):
    with pytest.raises(StoreUnavailableError, match=r"certificate required|closed|reset"):
        await managers(secured.url(secured.trusts))


async def test_a_server_of_another_authority_is_not_trusted(
    secured: Secured, managers: Managers, tmp_path: Path
):
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    with pytest.raises(StoreUnavailableError, match="certificate verify failed"):
        await managers(secured.url(f"ssl_ca_certs={tmp_path / 'other.pem'}", secured.shows))


async def test_a_server_of_another_name_is_not_trusted(secured: Secured, managers: Managers):
    with pytest.raises(StoreUnavailableError, match=r"[Hh]ostname mismatch"):
        await managers(secured.url(secured.trusts, secured.shows, host="localhost"))
