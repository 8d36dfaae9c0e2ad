"""What crosses the port: names of lanes and identities of leases."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st

from kew.domain.requests import ClaimRequest, Grant, GroupOutcome, SettleOutcome, Word, holder_of
from tests.support.tasks import request

numbers = st.integers(0, 10_000)
names = st.from_regex(r"[a-z0-9]{1,12}", fullmatch=True)
claims = st.builds(request, names, numbers, lane=numbers)


def test_a_lane_and_a_lease_read_as_a_path() -> None:
    claim = request("a1", sequence=7, lane=3)
    assert claim.lane_key == "a1.3"
    assert claim.lease(2) == "a1.3.7.2"


@given(claims, numbers)
def test_a_lease_names_its_holder(claim: ClaimRequest, index: int) -> None:
    assert holder_of(claim.lease(index)) == claim.incarnation
    assert claim.lease(index).startswith(f"{claim.lane_key}.")


@given(st.lists(st.tuples(claims, numbers), max_size=20))
def test_no_two_leases_have_one_identity(granted: list[tuple[ClaimRequest, int]]) -> None:
    where = {(c.incarnation, c.lane, c.sequence, index) for c, index in granted}
    assert len({c.lease(index) for c, index in granted}) == len(where)


def test_an_answer_without_more_says_only_its_word() -> None:
    assert attrs.astuple(Grant(word=Word.NO_QUEUE)) == (Word.NO_QUEUE, (), None, "", None, (), ())
    assert GroupOutcome(Word.DONE).task_id == ""
    assert SettleOutcome(Word.STALE).status is None
