"""What the comparison of a sent value with the one that arrives sees that `==` doesn't, and how it says so."""

import collections
import copy
import dataclasses
import datetime as dt
import decimal
import enum
import math
import types
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from kew.adapters.codecs.sameness import difference

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
BERLIN = ZoneInfo("Europe/Berlin")


@dataclasses.dataclass
class Shape:
    name: str
    size: float = dataclasses.field(default=0.0, compare=False)


class Loose:
    """Without fields and without an `__eq__` of its own."""

    def __init__(self, **attributes: object) -> None:
        self.__dict__.update(attributes)


class Spiteful:
    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no comparison")

    __hash__ = None  # type: ignore[assignment]


class Names(list[Any]):
    pass


class Bag(dict[Any, Any]):
    pass


class Colour(enum.Flag):
    RED = 1


def with_attribute(value: Any) -> Any:
    value.label = "x"
    return value


DIFFERENT = [
    (1, True, ": a value of type int would arrive as bool"),
    (1, 2, ": would arrive changed"),
    (0.0, -0.0, ": would arrive changed"),
    (1j, -1j, ": would arrive changed"),
    (decimal.Decimal("1.1"), decimal.Decimal("1.10"), ": would arrive changed"),
    ([1, [2]], [1, ["2"]], "[1][0]: a value of type int would arrive as str"),
    ([1], [1, 2], ": 1 elements would arrive as 2"),
    ([1, 2], [1, 2.0], "[1]: a value of type int would arrive as float"),
    (collections.deque([1], 3), collections.deque([1]), ": its maxlen would be lost"),
    ({"a": 1, "b": 2}, {"a": 1}, ": the key 'b' would be lost"),
    ({}, {"a": 1}, ": would arrive changed"),
    ({"a": 1}, {"a": "1"}, "['a']: a value of type int would arrive as str"),
    ({1: 1}, {True: 1}, "'s key 1: a value of type int would arrive as bool"),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}, "'s key 'a': would arrive changed"),
    (
        collections.defaultdict(list),
        collections.defaultdict(set),
        ": its default_factory would be lost",
    ),
    (
        collections.ChainMap({"a": 1}),
        collections.ChainMap({"a": 2}),
        "[0]['a']: would arrive changed",
    ),
    (
        types.MappingProxyType({"a": 1}),
        types.MappingProxyType({"a": 2}),
        "['a']: would arrive changed",
    ),
    ({1, 2}, {1, 3}, ": its element 2 would arrive changed"),
    ({1}, {True}, ": its element 1 would arrive changed"),
    ({1}, {1, 2}, ": would arrive changed"),
    ({math.nan, 1}, {1, 2}, ": would arrive changed"),
    (Shape("a", 1.0), Shape("a", 2.0), ".size: would arrive changed"),
    (with_attribute(Shape("a")), Shape("a"), ".label would be lost"),
    (Shape("a"), with_attribute(Shape("a")), ".label would be added"),
    (with_attribute(Names([1])), Names([1]), ".label would be lost"),
    (with_attribute(Bag(a=1)), Bag(a=1), ".label would be lost"),
    (Loose(a=1), Loose(a=2), ".a: would arrive changed"),
    (Spiteful(), Spiteful(), ": would arrive changed"),
    (Colour.RED, Colour(0), ": would arrive changed"),
    (memoryview(b"a"), memoryview(b"b"), ": would arrive changed"),
    (NOON, NOON.replace(fold=1), "fold=1"),
    (NOON, NOON.replace(tzinfo=None), ": the time zone UTC would arrive as None"),
    (
        NOON.replace(tzinfo=BERLIN),
        NOON.replace(tzinfo=dt.timezone(dt.timedelta(hours=1))),
        "UTC+01:00",
    ),
    (NOON.replace(tzinfo=BERLIN), NOON.replace(tzinfo=ZoneInfo("Europe/Rome")), "Europe/Rome"),
]


@pytest.mark.parametrize(("sent", "arrived", "told"), DIFFERENT)
def test_it_says_where_and_how_two_values_differ(sent, arrived, told):
    found = difference(sent, arrived)
    assert found is not None
    assert told in found


SAME = [
    math.nan,
    complex(math.nan, -0.0),
    decimal.Decimal("sNaN"),
    [1, "a", None, [2.5]],
    {math.nan: {math.nan}},
    {frozenset({1}), (1, 2)},
    Shape("a"),
    with_attribute(Names([1])),
    Loose(a=[1]),
    collections.Counter("aab"),
    collections.ChainMap({"a": 1}),
    NOON.replace(tzinfo=BERLIN),
    Colour.RED,
]


@pytest.mark.parametrize("value", SAME)
def test_a_deep_copy_is_the_same(value):
    assert difference(value, copy.deepcopy(value)) is None


@pytest.mark.parametrize(
    ("sent", "arrived"),
    [
        (NOON, NOON.replace(tzinfo=ZoneInfo("UTC"))),
        (dt.timezone(dt.timedelta(hours=1), "CET"), dt.timezone(dt.timedelta(hours=1))),
        (memoryview(b"a"), memoryview(bytearray(b"a"))),
    ],
)
def test_what_makes_no_difference(sent, arrived):
    assert difference(sent, arrived) is None
