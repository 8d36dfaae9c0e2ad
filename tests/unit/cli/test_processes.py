"""What `kew process ls` says of a process's last heartbeat."""

from datetime import UTC, datetime, timedelta

import pytest

from kew.cli.processes import heartbeat
from kew.cli.queue_status import WORDS, state_of

NOW = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(12, "12 s ago"), (44, "44 s ago"), (50, "50 s ago (silent)")]
)
def test_a_heartbeat_that_is_late_is_marked(seconds: int, expected: str):
    assert heartbeat(NOW - timedelta(seconds=seconds), NOW).plain == expected


def test_a_state_is_in_words():
    items = [{"code": code, "severity": "warning"} for code in ("waits_long", "lost", "full")]
    assert state_of({"attention": items}).plain == "waits long, lost workers, full"
    assert all("_" not in words for words in WORDS.values())
