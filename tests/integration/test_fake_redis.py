"""The list of what fakeredis does otherwise than Redis, held against Redis itself."""

import pytest

from tests.support.fake_redis import DIFFERENT, SAME, Probe
from tests.support.redis_process import connect


@pytest.mark.parametrize("probe", [*SAME, *DIFFERENT], ids=lambda probe: probe.name)
def test_redis_does_as_the_list_says(probe: Probe, clean_redis_url: str) -> None:
    client = connect(clean_redis_url)
    pool = client.connection_pool

    def ask(*words: str) -> object:
        connection = pool.get_connection()
        try:
            connection.send_command(*words)
            return connection.read_response()
        finally:
            pool.release(connection)

    try:
        assert probe.holds(ask)
    finally:
        client.close()
