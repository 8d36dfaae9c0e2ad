"""What a refusal says: the argument, the place within it, the annotation, the type of the value, and what to do."""

import collections
import dataclasses
import datetime as dt
import enum
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, NamedTuple, NewType, TypedDict, TypeVar

import pydantic
import pytest

from kew.adapters.codecs import MessagePackCodec
from kew.app.ports import CodecError
from tests.unit.adapters.test_arrival import refusals

T = TypeVar("T")


@dataclasses.dataclass
class Item:
    price: int
    note: Any = None


class Sale(Item):
    pass


@dataclasses.dataclass
class Order:
    items: list[Item]
    by_name: dict[str, tuple[int, Item]] = dataclasses.field(default_factory=dict)
    seller: "Missing" = None  # type: ignore[name-defined]  # noqa: F821


class Row(TypedDict):
    count: int
    item: Item


class Model(pydantic.BaseModel):
    items: list[Item]
    count: Annotated[int, pydantic.AfterValidator(str)] = 0


class Pair(NamedTuple):
    left: int
    right: Item


class Word(enum.StrEnum):
    A = "a"


class UserId(str):
    pass


class Opaque:
    pass


@dataclasses.dataclass
class Seeded:
    seed: dataclasses.InitVar[int]


Items = NewType("Items", list[Item])
WRONG: Any = "x"

MISFITS: list[tuple[Any, Any, str]] = [
    (int, "x", "it is annotated as int, and the str given"),
    (list[int], [1, "x"], "value[1] is annotated as int, and the str given"),
    (
        Order,
        Order([Item(1), Item(WRONG)]),
        "value.items[1].price is annotated as int, and the str given",
    ),
    (Order, Order([WRONG]), "value.items[0] is annotated as Item, and the str given"),
    (
        Order | None,
        Order([], {"a": (1, Item(WRONG))}),
        "value.by_name['a'][1].price is annotated as int",
    ),
    (dict[int, str], {"a": "b"}, "value's key 'a' is annotated as int"),
    (set[int], {"a"}, "value's element 'a' is annotated as int"),
    (collections.deque[int], collections.deque("a"), "value[0] is annotated as int"),
    (Row, {"count": 1, "item": Item(WRONG)}, "value['item'].price is annotated as int"),
    (Row, {"count": 1}, "it is annotated as Row, and the dict given lacks the key 'item'"),
    (
        list[Row],
        [{"item": Item(1)}],
        "value[0] is annotated as Row, and the dict given lacks the key 'count'",
    ),
    (Items, [Item(WRONG)], "value[0].price is annotated as int"),
    (Annotated[list[int], "note"], [WRONG], "value[0] is annotated as int"),
    (Pair, Pair(1, Item(WRONG)), "value.right.price is annotated as int"),
    (tuple[int, ...], (1, 2, WRONG), "value[2] is annotated as int"),
    (int | list[int], [WRONG], "value[0] is annotated as int"),
    (list[int] | list[float], [WRONG], "it is annotated as list[int] | list[float]"),
    (
        Model,
        Model(items=[Item(1)], count=3).model_copy(update={"items": [Item(WRONG)]}),
        "value.items[0].price",
    ),
]


@pytest.mark.parametrize(("annotation", "value", "said"), MISFITS)
def test_a_misfit_is_named_with_its_place_its_annotation_and_its_type(annotation, value, said):
    reason = refusals(annotation, value)
    assert said in reason
    assert len(reason) < 400


TEACH = "teach the codec the type: MessagePackCodec(types={%s: (to_plain, from_plain)})"
UNKNOWN: list[tuple[Any, Any, str, str]] = [
    (Any, Item(1), "type Item would not arrive", "annotate the parameter with Item"),
    (Any, {"a": [Item(1)]}, "type Item at value['a'][0] would", "name Item in the annotation of the parameter"),
    (Item, Sale(1), "type Sale, annotated as Item, would", "name Sale in the annotation of the parameter"),
    (list[Item], [Sale(1)], "type Sale at value[0], annotated as Item, would", TEACH % "Sale"),
    (Order, Order([Item(1, {1: Opaque()})]), "type Opaque at value.items[0].note[1] would", TEACH % "Opaque"),
    (T, Opaque(), "type Opaque, annotated as T, would", TEACH % "Opaque"),
    (str, UserId("a"), "type UserId, annotated as str, would", "convert it: str(...); or name UserId"),
    (str, Word.A, "type Word, annotated as str, would", "pass its .value"),
    (Iterable[int], iter([1]), "type list_iterator, annotated as Iterable[int], would", "pass a list of its elements"),
    (Sequence[int], range(3), "type range, annotated as Sequence[int], would", "pass plain data"),
    (Order, Order([], seller=Sale(1)), "type Sale at value.seller would", "value.seller can't be resolved"),
    ("Missing", Item(1), "type Item would", "the annotation of this parameter can't be resolved"),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "value", "said", "advised"), UNKNOWN)
def test_a_value_of_an_unknown_type_is_named_with_its_place_and_a_remedy(
    annotation, value, said, advised
):
    reason = refusals(annotation, value)
    assert said in reason
    assert advised in reason
    assert len(reason) < 400


def test_a_known_type_that_cannot_be_carried_says_why_and_where():
    zone = type("Zone", (dt.tzinfo,), {})()
    reason = refusals(list[dt.datetime], [dt.datetime(2026, 1, 1, tzinfo=zone)])
    assert reason.startswith("the time zone")
    assert reason.endswith("use zoneinfo.ZoneInfo or a fixed offset at value[0]")


def test_a_value_that_cannot_be_rebuilt_says_which_and_why():
    reason = refusals(list[Seeded], [Seeded(3)])
    assert (
        "type Seeded at value[0] can't be rebuilt from its fields: Seeded.__init__() missing 1"
        in reason
    )
    assert TEACH % "Seeded" in reason


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": ["x", "\udcff"]}, "value['a'][1], of type str, can't be encoded: 'utf-8'"),
        ({"\udcff": 1}, r"value's key '\udcff', of type str, can't be encoded"),
        ([2**20_000], "value[0], of type int, can't be encoded: Exceeds the limit"),
        (Item(1, "\udcff"), "value.note, of type str, can't be encoded"),
        ("\udcff", "can't be encoded: 'utf-8'"),
    ],
)
def test_what_cannot_be_written_is_named_with_its_place(value, said):
    assert said in refusals(Item | Any, value)


def test_an_invalid_model_says_so_in_one_line():
    reason = refusals(Model, Model.model_construct(items=[], count="no"))
    assert "type Model can't be rebuilt from its fields: 1 validation error" in reason
    assert "\n" not in reason


def test_a_result_is_called_so():
    def function() -> list[Order]: ...  # type: ignore[empty-body]

    with pytest.raises(
        CodecError,
        match=r"result\[0\]\.items\[0\]\.price is annotated as int, and the str returned",
    ):
        MessagePackCodec().encode_result([Order([Item(WRONG)])], function)


def test_the_place_within_a_value_that_contains_itself_is_not_sought_for_ever():
    endless: list[Any] = [[1]]
    endless += [endless, endless, WRONG]
    assert "it is annotated as int" in refusals(int, endless)


class Evil:
    """A value that can't be looked at."""

    def __getattribute__(self, name: str) -> object:
        raise RuntimeError(name)


def test_a_value_that_cannot_be_looked_at_is_refused_all_the_same():
    assert refusals(list[Any], [Evil()])
