"""What a class declares: defaults that don't fit their annotation, names of its own module, fields one by one."""

import dataclasses
import enum
import fractions
import sys
import types
import typing
import uuid
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import attrs
import msgspec
import pydantic
import pytest

from kew.adapters.codecs import MessagePackCodec
from kew.adapters.codecs.sameness import difference
from kew.app.ports import CodecError
from tests.unit.adapters.test_arrival import arrived, refusals, taking

U = uuid.UUID(int=5)
CODEC = MessagePackCodec()


# --- defaults


@dataclasses.dataclass
class Customer:
    name: str = None  # type: ignore[assignment]  # as many write it
    tags: list[str] = ()  # type: ignore[assignment]
    note: Any = None


@attrs.define
class Contact:
    name: str = None  # type: ignore[assignment]
    tags: list[str] = attrs.field(factory=list)
    note: Any = None


class Address(msgspec.Struct):
    city: str = None  # type: ignore[assignment]
    note: Any = None


class Pair(NamedTuple):
    left: int = None  # type: ignore[assignment]
    right: Any = None


class Account(pydantic.BaseModel):
    id: int = "unset"  # type: ignore[assignment]
    name: str = None  # type: ignore[assignment]
    note: Any = None
    tags: list[str] = pydantic.Field(default_factory=list)


@pydantic.dataclasses.dataclass
class Invoice:
    number: int = None  # type: ignore[assignment]
    account: Account | None = None


CLASSES: list[Any] = [Customer, Contact, Address, Pair, Account, Invoice]


@pytest.mark.parametrize("kind", CLASSES)
def test_a_default_needs_not_fit_its_annotation(kind):
    for received in arrived(kind, kind()):
        assert difference(kind(), received) is None
    for received in arrived(list[kind], [kind()]):  # type: ignore[valid-type]
        assert difference([kind()], received) is None


@pytest.mark.parametrize("kind", CLASSES[:-1])
def test_the_other_fields_are_carried_beside_such_a_default(kind):
    value = kind(**{"right" if kind is Pair else "note": (U,)})
    for received in arrived(kind, value):
        assert difference(value, received) is None


WRONG: Any = 0.5


@pytest.mark.parametrize(
    "value",
    [
        Customer(WRONG),
        Contact(WRONG),
        Address(WRONG),
        Pair(WRONG),
        Account.model_construct(id="no"),
    ],
)
def test_a_value_that_is_neither_default_nor_fitting_is_refused(value):
    assert refusals(type(value), value)


# --- fields that pydantic validates


def shouted(text: str) -> str:
    return text.upper()


class Converted(pydantic.BaseModel):
    count: Annotated[int, pydantic.AfterValidator(str)]
    word: Annotated[str, pydantic.AfterValidator(shouted)] = "x"


class Size(enum.Enum):
    SMALL = 1


class ByValue(pydantic.BaseModel, use_enum_values=True):
    size: Size


@pytest.mark.parametrize("value", [Converted(count=1, word="a"), ByValue(size=Size.SMALL)])
def test_what_a_validator_yields_needs_not_fit_the_annotation(value):
    for received in arrived(type(value), value):
        assert difference(value, received) is None


# --- members of enums


class Handler(enum.Enum):
    LENGTH = (len,)
    ITSELF = object()


@pytest.mark.parametrize("member", [*Handler])
def test_a_member_whose_value_is_no_data_goes_by_its_name(member):
    for received in arrived(Handler | Any, member):
        assert received is member


def test_bytes_that_name_no_member_are_refused():
    function = taking(Handler)
    payload = CODEC.encode_call(function, [Handler.ITSELF], {})
    with pytest.raises(CodecError, match="ABSENT"):
        CODEC.decode_call(payload.replace(b"ITSELF", b"ABSENT"), function)


# --- names in annotations


ELSEWHERE = """
from __future__ import annotations
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from decimal import Decimal

@dataclass
class Shape:
    price: int

@dataclass
class Order:
    customers: list[Shape]
    note: Any = None

@dataclass
class Hidden:
    price: Decimal
    customer: Shape

class Row(TypedDict):
    price: Decimal
    count: int

@dataclass
class Outer:
    @dataclass
    class Inner:
        id: int
    inner: Inner
    note: Any = None
"""


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module with a class `Shape`, as the functions' module has, and a name that only type checkers see."""
    module = types.ModuleType("elsewhere")
    monkeypatch.setitem(sys.modules, "elsewhere", module)
    exec(ELSEWHERE, vars(module))
    return module


def test_a_name_means_what_it_means_where_its_class_is_defined(elsewhere):
    order = elsewhere.Order([elsewhere.Shape(3)], note=U)
    for received in arrived(elsewhere.Order, order):
        assert received == order


def test_an_annotation_that_cannot_be_resolved_concerns_its_own_field_alone(elsewhere):
    hidden = elsewhere.Hidden(U, elsewhere.Shape(3))
    for received in arrived(elsewhere.Hidden, hidden):
        assert received == hidden
    assert "doesn't fit" in refusals(elsewhere.Hidden, elsewhere.Hidden(1, "no"))


def test_a_typed_dict_with_a_name_that_cannot_be_resolved_is_checked_by_the_others(elsewhere):
    row = {"price": U, "count": 1}
    assert arrived(elsewhere.Row, row) == (row, row)
    assert refusals(elsewhere.Row, {"price": U, "count": "no"})


def test_a_class_within_the_class_is_found(elsewhere):
    outer = elsewhere.Outer(elsewhere.Outer.Inner(1), note=(1,))
    assert arrived(elsewhere.Outer, outer) == (outer, outer)


Bound = TypeVar("Bound", bound=Customer)
Either = TypeVar("Either", Customer, Contact)
Named = TypeVar("Named", bound="Customer")


@dataclasses.dataclass
class Holder(Generic[Bound]):
    held: Bound


VARIABLES: list[Any] = [Bound, Either, Named, list[Bound], Holder]  # type: ignore[valid-type]


@pytest.mark.parametrize("annotation", VARIABLES)
def test_the_bounds_of_a_type_variable_lead_to_classes(annotation):
    value = Customer("a", ["b"])
    sent: Any = value
    if annotation is Holder:
        sent = Holder(value)
    elif typing.get_origin(annotation) is list:
        sent = [value]
    for received in arrived(annotation, sent):
        assert received == sent


def test_a_class_that_is_itself_the_function_leads_to_its_instances():
    made = Customer("a")
    assert CODEC.decode_result(CODEC.encode_result(made, Customer), Customer) == made


# --- hostile numbers


def test_a_fraction_is_read_from_two_integers_alone():
    third = fractions.Fraction(-1, 3)
    assert arrived(Any, third) == (third, third)
    payload = CODEC.encode_call(taking(Any), [fractions.Fraction(12, 7)], {})
    with pytest.raises(CodecError, match="invalid literal"):
        CODEC.decode_call(payload.replace(b"12/7", b"1e99"), taking(Any))
