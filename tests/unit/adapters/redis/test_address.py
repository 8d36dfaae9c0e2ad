"""What a Redis URL may say."""

import pytest

from kew.adapters.redis.address import address
from kew.domain.errors import InvalidConfigError


@pytest.mark.parametrize(
    "option",
    [
        "decode_responses=True",
        "encoding=latin-1",
        "protocol=3",
        "retry_on_timeout=true",
        "health_check_interval=30",
    ],
)
def test_what_kew_decides_itself_is_ignored(option: str):
    plain, optional = address("redis://localhost"), address(f"redis://localhost?{option}")
    assert optional.options == plain.options
    assert optional.connection().protocol == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("option", ["max_connections=20", "timeout=20", "visibility_timeout=3600"])
def test_a_known_option_that_kew_does_not_accept_is_refused_by_its_name(option: str):
    with pytest.raises(InvalidConfigError, match=option.partition("=")[0]):
        address(f"redis://localhost?{option}")


def test_an_option_of_tls_needs_tls():
    with pytest.raises(InvalidConfigError, match="ssl_cert_reqs needs rediss://"):
        address("redis://localhost?ssl_cert_reqs=none")
    assert address("rediss://localhost?ssl_cert_reqs=none").options["ssl_cert_reqs"] == "none"


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:p%40ss%2Fw%3Frd%23@localhost:6379/3",
        "redis://:p@ss@localhost",
        "redis://localhost?client_name=web",
        "unix://user:secret@/run/redis.sock?db=3",
        "unix:///run/redis@1.sock",
        "rediss://localhost?ssl_ca_certs=/etc/ca.pem",
    ],
)
def test_a_url_that_says_what_it_means_is_accepted(url: str):
    assert "secret" not in repr(address(url))
