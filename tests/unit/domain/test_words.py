"""Words of explanations that name a pause or a drain."""

import pytest

from kew.domain.holding import Hold
from kew.domain.words import since_text

SINCE = " since 1970-01-01 00:16:40 UTC"


@pytest.mark.parametrize(
    ("hold", "text"),
    [
        (None, ""),
        (Hold(1_000_000), SINCE),
        (Hold(1_000_000, "Eve: down"), f"{SINCE} (Eve: down)"),
        (Hold(1_000_000, "Eve: down", "web-1-7-x"), f"{SINCE} (Eve: down)"),
        (Hold(1_000_000, "", "web-1-7-x"), f"{SINCE} (by process web-1:7)"),
    ],
)
def test_a_hold_says_since_when_and_why_or_else_which_process_did_it(hold, text):
    assert since_text(hold) == text
