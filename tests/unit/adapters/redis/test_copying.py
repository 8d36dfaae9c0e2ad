"""How much of a key a copy reads at once."""

from typing import Any

from kew.adapters.redis import copying
from kew.compat import override

ENTRIES = 2000


class Large(copying.Server):
    """A hash whose last entries are as large as arguments may be; it notes how much each reply has of it."""

    def __init__(self) -> None:
        self.replies = list[int]()

    @override
    async def call(self, *command: Any) -> Any:
        if command[0] == "TYPE":
            return b"hash"
        _, _, cursor, _, count = command
        first = int(cursor)
        last = min(first + count, ENTRIES)
        sizes = [10 if n < ENTRIES - 50 else 256 * 1024 for n in range(first, last)]
        self.replies.append(sum(sizes))
        found = [word for n, size in enumerate(sizes, first) for word in (b"%d" % n, bytes(size))]
        return b"%d" % (last if last < ENTRIES else 0), found


async def test_large_entries_are_read_a_few_at_a_time():
    server = Large()
    found = [entry async for piece in server.pieces(b"kew:contents") for entry in piece]
    assert [int(name) for name, _ in found] == list(range(ENTRIES))
    assert len(server.replies) < ENTRIES / 20, "small ones are read many at a time"
    large = [size for size in server.replies if size > copying.PIECE_BYTES + 10_000]
    assert len(large) <= 1, "but for the first of them, which come as a surprise"
