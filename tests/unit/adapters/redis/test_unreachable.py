"""What a caller reads if no Redis answers at the address."""

from __future__ import annotations

import logging

import pytest

from kew import StoreUnavailableError, TaskQueueManager

NO_REDIS = "redis://127.0.0.1:1"  # nothing listens on this port


async def test_the_reason_ends_in_one_full_stop(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="kew")
    with pytest.raises(StoreUnavailableError, match="Check that it runs") as raised:
        await TaskQueueManager(NO_REDIS).initialize()
    for text in (str(raised.value), *caplog.messages):
        assert ".)" not in text
        assert ". (" not in text
        assert ".." not in text
