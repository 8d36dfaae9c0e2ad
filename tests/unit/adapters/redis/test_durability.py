"""What a URL says of durability, and how replies wait for their confirmation."""

from typing import Any

import pytest

from kew.adapters.redis import address, where
from kew.adapters.redis.durability import Confirmation, ConfirmingWire, Durability, Unconfirmed
from kew.adapters.redis.standstill import Standstill
from kew.adapters.redis.wire import OnReply, ReplyError, Wire, packed
from kew.compat import override
from kew.domain.errors import InvalidConfigError

SENTINEL = "redis+sentinel://one,two/main"


class ScriptedWire(Wire):
    """It keeps what it was asked; the test passes the replies."""

    is_ended = False

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.callbacks: list[OnReply] = []

    @override
    def ask(self, request: bytes, give_up_at: float, on_reply: OnReply) -> None:
        self.requests.append(request)
        self.callbacks.append(on_reply)

    @override
    def drop(self) -> None:
        """Nothing to close."""

    def reply(self, *replies: Any) -> None:
        for reply in replies:
            self.callbacks.pop(0)(reply)


MARKER = packed("PUBLISH", "kew:to:check", "")


def confirming(durability: Durability) -> tuple[ConfirmingWire, ScriptedWire, list[Any]]:
    """A wire, the one beneath it, and what the caller of one PING gets."""
    beneath, got = ScriptedWire(), list[Any]()
    wire = ConfirmingWire(
        beneath, Confirmation(durability, MARKER, 5.0, Standstill("Redis at host"))
    )
    wire.ask(packed("PING"), 7.0, got.append)
    return wire, beneath, got


@pytest.mark.parametrize(
    ("url", "durability"),
    [
        ("redis://host", Durability()),
        ("redis://host?durability=default", Durability()),
        ("redis://host?durability=replicated", Durability("replicated", 1)),
        ("redis://host?durability=replicated&replicas=2", Durability("replicated", 2)),
        ("redis://host?durability=fsync", Durability("fsync", 0)),
        ("redis://host?durability=fsync&replicas=1", Durability("fsync", 1)),
        (f"{SENTINEL}?durability=replicated", Durability("replicated", 1)),
        (f"{SENTINEL}?durability=fsync", Durability("fsync", 1)),
        (f"{SENTINEL}?durability=fsync&replicas=0", Durability("fsync", 0)),
    ],
)
def test_a_url_chooses_the_durability(url: str, durability: Durability):
    assert where(url).durability == durability


@pytest.mark.parametrize(
    "options",
    [
        "durability=safe",
        "replicas=1",
        "durability=replicated&replicas=0",
        "durability=replicated&replicas=eleven",
        "durability=fsync&replicas=11",
        "durability=fsync&replicas=-1",
    ],
)
def test_a_durability_that_cannot_be_is_refused(options: str):
    with pytest.raises(InvalidConfigError, match="durability"):
        address(f"redis://host?{options}")


def test_a_command_and_what_confirms_it_are_sent_at_once():
    _, beneath, _ = confirming(Durability("replicated", 2))
    marker = packed("PUBLISH", "kew:to:check", "")
    assert beneath.requests == [packed("PING") + marker + packed("WAIT", 2, 2000), b"", b""]
    _, beneath, _ = confirming(Durability("fsync", 0))
    assert beneath.requests[0].endswith(packed("WAITAOF", 1, 0, 2000))


def test_a_reply_is_passed_on_once_it_is_confirmed():
    _, beneath, got = confirming(Durability("replicated", 1))
    beneath.reply(b"PONG", 0)
    assert got == []
    beneath.reply(1)
    assert got == [b"PONG"]


@pytest.mark.parametrize(
    ("durability", "reply", "missing"),
    [
        (Durability("replicated", 2), 1, "after 2 s, 1 of 2 replicas have it"),
        (Durability("fsync", 0), [0, 3], "after 2 s, the primary has not synced it to its disk"),
        (Durability("fsync", 1), [1, 0], "after 2 s, 0 of 1 replicas have it on their disks"),
        (
            Durability("replicated", 1),
            ReplyError("UNBLOCKED now"),
            "WAIT was refused (UNBLOCKED now)",
        ),
    ],
)
async def test_what_is_not_confirmed_is_an_error(durability: Durability, reply: Any, missing: str):
    _, beneath, got = confirming(durability)
    beneath.reply(b"PONG", 0, reply)
    [error] = got
    assert isinstance(error, Unconfirmed)
    assert (error.missing, error.code) == (missing, "UNCONFIRMED")


def test_an_error_is_passed_on_at_once_and_alone():
    _, beneath, got = confirming(Durability("replicated", 1))
    error = ReplyError("OOM")
    beneath.reply(error)
    assert got == [error]
    beneath.reply(0, 1)
    assert got == [error]


async def test_a_server_that_refuses_the_command_and_its_marker_is_not_said_to_confirm_nothing(
    caplog: pytest.LogCaptureFixture,
):
    _, beneath, got = confirming(Durability("replicated", 1))
    refusal = ReplyError("LOADING Redis is loading the dataset in memory")
    beneath.reply(refusal, refusal, 0)
    assert got == [refusal]
    assert caplog.text == ""


async def test_a_marker_that_was_refused_confirms_nothing():
    _, beneath, got = confirming(Durability("replicated", 1))
    beneath.reply(b"PONG", ReplyError("NOPERM"), 1)
    [error] = got
    assert isinstance(error, Unconfirmed)


@pytest.mark.parametrize("answered", [0, 1, 2])
def test_a_connection_that_is_lost_before_the_confirmation_is_lost(answered: int):
    _, beneath, got = confirming(Durability("replicated", 1))
    beneath.reply(*[b"PONG", 0][:answered])
    lost = ConnectionError()
    beneath.reply(*[lost] * (3 - answered))
    assert got == [lost]
