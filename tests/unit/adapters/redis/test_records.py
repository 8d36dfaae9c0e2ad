"""Records that Python reads and Lua has not checked."""

import pytest

from kew.adapters.redis.records import MOST, MOST_TICKETS, read_strictly
from kew.domain.errors import TaskUnreadableError

SOUND = "c q 7 1000 0 1,0,0,0,0,1,0,1500,-,-,2000,3000,- 2 nonce m:f 3 0"
LABEL = b"\x91\xa1t"
NUMBERS = {
    "queued_at": ("1000 0", f"{MOST} -1"),
    "ready_at - queued_at": (" 0 ", f" {MOST - 1000} "),
    "ticket": (" 7 ", f" {MOST_TICKETS} "),
    "attempt": ("1,0,0,0,0,1,0", f"{MOST},0,0,0,0,1,0"),
    "failures": ("1,0,0,0,0,1,0", f"1,{MOST},0,0,0,1,0"),
    "losses": ("1,0,0,0,0,1,0", f"1,0,{MOST},0,0,1,0"),
    "replays": ("1,0,0,0,0,1,0", f"1,0,0,{MOST},0,1,0"),
    "token": ("1,0,0,0,0,1,0", f"1,0,0,0,0,{MOST},0"),
    "epoch": ("1,0,0,0,0,1,0", f"1,0,0,0,0,1,{MOST}"),
    "started_at": ("1500", MOST),
    "ended_at": ("2000", MOST),
    "expires_at": ("3000", MOST),
}


def record(head: str) -> bytes:
    return head.encode() + b"\n" + LABEL + b"\x01"


def test_a_sound_record_is_read():
    assert read_strictly("t", record(SOUND), 0).result == b"\x01"


@pytest.mark.parametrize(("sound", "absurd"), NUMBERS.values(), ids=NUMBERS)
def test_no_number_may_be_larger_than_lua_counts_exactly(sound: str, absurd: object):
    with pytest.raises(TaskUnreadableError, match="absurd"):
        read_strictly("t", record(SOUND.replace(sound, str(absurd), 1)), 0)


@pytest.mark.parametrize(
    "contradiction",
    [
        SOUND.replace("c q", "p q").replace("3000", "0"),  # PROCESSING without a lease
        SOUND.replace("1500,-", "1500,inc.1.1.1"),  # a lease of what has ended
        SOUND.replace("3000", "0"),  # ended and kept for ever
        SOUND.replace("c q", "q q"),  # waiting, and yet it expires
    ],
)
def test_a_status_and_what_belongs_to_it_agree(contradiction: str):
    with pytest.raises(TaskUnreadableError, match="absurd"):
        read_strictly("t", record(contradiction), 0)


@pytest.mark.parametrize("damaged", ["", "7,8", "7],[8", "7.0", "1e3", "1_0", "x", '"7"', "null"])
@pytest.mark.parametrize("field", [2, 3, 4, 9, 10])  # ticket, queued_at, offset, lengths
def test_a_number_is_one_whole_number_in_decimal(field: int, damaged: str):
    fields = SOUND.split(" ")
    fields[field] = damaged
    with pytest.raises(TaskUnreadableError):
        read_strictly("t", record(" ".join(fields)), 0)


@pytest.mark.parametrize(
    "history", ["1,0,0,0,0,1,0", "1,0,0,0,0,1,0,1500,9", "1,0],[0,0,0,1,0,1500"]
)
def test_a_history_has_as_many_numbers_as_there_are(history: str):
    head = SOUND.replace("1,0,0,0,0,1,0,1500", history)
    with pytest.raises(TaskUnreadableError):
        read_strictly("t", record(head), 0)


def test_no_number_of_a_history_is_taken_from_the_next_field():
    head = SOUND.replace("1,0,0,0,0,1,0,1500", "1,0,0,0,0,1,0").replace(" 7 ", " 1500,7 ")
    with pytest.raises(TaskUnreadableError):
        read_strictly("t", record(head), 0)
