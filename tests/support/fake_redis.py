"""What fakeredis, in which the library is simulated, does otherwise than Redis: asked, not believed.

Each probe is a command or a function, with what Redis answers. `SAME` is what kew's library rests on; `DIFFERENT` is
what the fake answers otherwise, and docs/simulation.md says what each of these means for the simulation.
"""

from collections.abc import Callable
from typing import Any, Final

import attrs
from redis.exceptions import ResponseError

Ask = Callable[..., Any]
REFUSED: Final = "an error"
BEGIN: Final = "redis.register_function('probe', function(KEYS, ARGV)"


@attrs.frozen
class Probe:
    """`asks` are commands, of which the last one's answer counts; `answer` is what Redis says to it."""

    name: str
    answer: object
    asks: tuple[tuple[str, ...], ...]

    def holds(self, ask: Ask) -> bool:
        """Whether a server answers as Redis does."""
        reply: object = None
        for words in self.asks:
            try:
                reply = ask(*words)
            except ResponseError:
                reply = REFUSED
        return reply == self.answer


def function(name: str, answer: object, *lines: str, before: str = "") -> Probe:
    """A function with the keys `a` and `b`; `before` stands before it in its library."""
    body = "\n".join(["#!lua name=probes", before, BEGIN, *lines, "end)"])
    return Probe(
        name, answer, (("FUNCTION", "LOAD", "REPLACE", body), ("FCALL", "probe", "2", "a", "b"))
    )


# What the library of kew rests on.
SAME: Final = (
    function("an array ends at nil", [1, 2], "return {1, 2, nil, 4}"),
    function("false is nil", [None, 1], "return {false, true}"),
    function("a number is cut to an integer", 3, "return 3.99"),
    function("an instant is an argument", 10**14, "return redis.call('INCRBY', KEYS[1], 1e14)"),
    function(
        "a score is text",
        b"1704067200123",
        "redis.call('ZADD', KEYS[1], 1704067200123, 'm')",
        "return redis.call('ZSCORE', KEYS[1], 'm')",
    ),
    function("no score is false", 1, "return redis.call('ZSCORE', KEYS[1], 'm') == false"),
    function("no field is false", 1, "return redis.call('HMGET', KEYS[1], 'x')[1] == false"),
    function("no ZPOPMIN is empty", 1, "return #redis.call('ZPOPMIN', KEYS[1]) == 0"),
    function("no LPOP is false", 1, "return redis.call('LPOP', KEYS[1], 5) == false"),
    function("XX adds nothing", 0, "return redis.call('ZADD', KEYS[1], 'XX', 'CH', 1, 'm')"),
    function(
        "equal scores go by member",
        [b"c", b"a", b"b"],
        "redis.call('ZADD', KEYS[1], 1, 'b', 1, 'a', 0, 'c')",
        "return redis.call('ZRANGE', KEYS[1], 0, -1)",
    ),
    function(
        "a range is open and cut",
        [b"b"],
        "redis.call('ZADD', KEYS[1], 1, 'a', 2, 'b', 3, 'c')",
        "return redis.call('ZRANGEBYSCORE', KEYS[1], '(1', '+inf', 'LIMIT', 0, 1)",
    ),
    function(
        "an empty collection is gone",
        0,
        "redis.call('SADD', KEYS[1], 'x')",
        "redis.call('SREM', KEYS[1], 'x')",
        "return redis.call('EXISTS', KEYS[1])",
    ),
    function(
        "bytes are bytes",
        b"\x00\xff",
        "redis.call('SET', KEYS[1], '\\0\\255')",
        "return redis.call('GET', KEYS[1])",
    ),
    Probe(
        "an error leaves what was written before it",
        b"x",
        (
            ("EVAL", "redis.call('SET', KEYS[1], 'x') redis.call('LPUSH', KEYS[1], 'y')", "1", "a"),
            ("GET", "a"),
        ),
    ),
    function(
        "7,000 can be unpacked",
        7000,
        "local t = {} for n = 1, 7000 do t[n] = n end",
        "return redis.call('RPUSH', KEYS[1], unpack(t))",
    ),
    function(
        "9,000 can't",
        REFUSED,
        "local t = {} for n = 1, 9000 do t[n] = n end",
        "return redis.call('RPUSH', KEYS[1], unpack(t))",
    ),
    function("nobody listens", 0, "return redis.call('PUBLISH', 'c', 'x')"),
    function("a global can't be made", REFUSED, "x = 1", "return x"),
    function("an unknown command", REFUSED, "return redis.call('NOSUCH')"),
    function("too few arguments", REFUSED, "return redis.call('HSET', KEYS[1], 'f')"),
    function("SUBSCRIBE in a function", REFUSED, "return redis.call('SUBSCRIBE', 'c')"),
    function("an unknown global", REFUSED, "return nosuch == nil"),
    function("io", REFUSED, "return io == nil"),
    function("require", REFUSED, "return require == nil"),
    function("redis.call can't be replaced", REFUSED, "redis.call = nil", "return 1"),
    function("math while it is loaded", REFUSED, "return 1", before="local pi = math.pi"),
    function(
        "a variable of the library stays", 2, *2 * ["n = n + 1"], "return n", before="local n = 0"
    ),
    Probe("FCALL of what was never loaded", REFUSED, (("FCALL", "nosuch", "0"),)),
)

DIFFERENT: Final = (
    function("cmsgpack", 1, "return #cmsgpack.pack({1}) > 0"),
    function("struct", 4, "return #struct.pack('>I4', 1)"),
    function("bit", 3, "return bit.band(7, 3)"),
    function("redis.acl_check_cmd", 1, "return redis.acl_check_cmd('GET', 'a')"),
    Probe(
        "a full memory",
        0,
        (
            ("CONFIG", "SET", "maxmemory", "1"),
            ("SET", "a", "x"),
            ("CONFIG", "SET", "maxmemory", "0"),
            ("EXISTS", "a"),
        ),
    ),
    function("INFO", 1, "return #redis.call('INFO') > 0"),
)
