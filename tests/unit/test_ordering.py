"""The order of the tests of a parallel run."""

from collections import Counter

import pytest

from tests.support.ordering import slow_first

SECONDS = {"a": 0, "b": 5, "c": 0, "d": 90, "e": 30, "f": 0, "g": 20, "h": 0, "i": 0}


def test_each_share_begins_with_some_of_the_slow_tests_and_the_slowest_come_first():
    assert "".join(slow_first(SECONDS, SECONDS.__getitem__, shares=2)) == "dgac" + "ebfhi"


def test_a_process_alone_begins_with_the_slow_ones_and_keeps_the_order_of_the_rest():
    assert "".join(slow_first(SECONDS, SECONDS.__getitem__, shares=1)) == "degb" + "acfhi"


@pytest.mark.parametrize("shares", range(1, 12))
@pytest.mark.parametrize("count", range(10))
def test_none_is_lost_however_few_there_are(shares: int, count: int):
    items = list(SECONDS)[:count]
    assert Counter(slow_first(items, SECONDS.__getitem__, shares=shares)) == Counter(items)
