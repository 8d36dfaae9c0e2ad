"""Names of processes: they say where a process runs, and a store can use them in keys, leases and channels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kew.adapters.redis.records import checked_incarnation
from kew.domain.incarnations import LONGEST, identity_of, incarnation_of, place_of

IDENTITY = "0123456789abcdef"


def test_a_name_says_where_the_process_runs() -> None:
    name = incarnation_of("web-1", 4711, IDENTITY)
    assert name == f"web-1-4711-{IDENTITY}"
    assert place_of(name) == "web-1:4711"
    assert identity_of(name) == IDENTITY


def test_what_cannot_be_in_a_name_is_replaced() -> None:
    assert place_of(incarnation_of("db.example_2.org", 7, IDENTITY)) == "db-example-2-org:7"
    assert place_of(incarnation_of("", 7, IDENTITY)) == "host:7"


@pytest.mark.parametrize("name", ["0123456789abcdef", "w1", "p3-x"])
def test_the_name_of_an_earlier_version_is_its_own_place(name: str) -> None:
    assert place_of(name) == name
    assert name.endswith(identity_of(name))


@given(st.text(), st.integers(0, 2**32))
def test_every_name_fits_the_store_and_keeps_its_identity(host: str, pid: int) -> None:
    name = checked_incarnation(incarnation_of(host, pid, IDENTITY))
    assert len(name) <= LONGEST
    assert name.endswith(f"-{pid}-{IDENTITY}")
    assert place_of(name).endswith(f":{pid}")
