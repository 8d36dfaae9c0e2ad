"""What a refusal says: which argument, where within it, how that is annotated, what it is, and what to do."""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable, Iterator
from typing import Any

from kew.adapters.codecs.kinds import is_class_of_values
from kew.adapters.codecs.places import Place, innermost, narrowed
from kew.adapters.codecs.plans import CodingPlan, Slot
from kew.adapters.codecs.refusals import reason_of
from kew.app.ports import CodecError
from kew.callables import UNRESOLVED

TEXTS_AND_NUMBERS = (str, int, float, bytes)
LONGEST_REASON = 300  # characters of another library's message
NOT_RESOLVED = (
    "can't be resolved at run time: import its names outside `if TYPE_CHECKING:` "
    "and define its classes at module level"
)


def misfit(plan: CodingPlan, slot: Slot, value: object) -> CodecError:
    """The error of a value that doesn't fit its annotation."""
    whole = _whole(slot, value)
    found = _misfit(plan, whole) or whole
    given = f"the {type(found.value).__qualname__} {'returned' if _is_result(slot) else 'given'}"
    lacking = _lacking(found)
    what = f"{given} lacks the key {lacking!r}" if lacking else f"{given} doesn't fit"
    where = "it" if found is whole else found.path
    return CodecError(
        slot.where,
        f"{where} is annotated as {shown(found.annotation)}, and {what}; convert it, or change the annotation",
    )


def unwritable(plan: CodingPlan, slot: Slot, value: object, error: Exception) -> CodecError:
    """The error of a value that raised when it was written, such as a text that is no Unicode."""
    whole = _whole(slot, value)
    found = _narrowed(plan, whole, plan.describer.encodes)
    what = "" if found is whole else f"{found.path}, of type {_name(found)}, "
    return CodecError(slot.where, f"{what}can't be encoded: {_reason(error)}")


def unreadable(plan: CodingPlan, slot: Slot, value: object, error: Exception) -> CodecError:
    """The error of a value that was written, but can't be read again."""
    whole = _whole(slot, value)
    if _misfit(plan, whole):
        return misfit(plan, slot, value)
    found = _narrowed(plan, whole, plan.describer.reads)
    return CodecError(
        slot.where,
        f"a value of type {_name(found)}{_at(whole, found)} can't be rebuilt from its fields: {_reason(error)}; "
        f"{_taught(found)}",
    )


def unfit(plan: CodingPlan, slot: Slot, value: object, reason: Exception) -> CodecError:
    """The error of a value of which some part can't be carried."""
    whole = _whole(slot, value)
    found = _narrowed(plan, whole, plan.describer.writes)
    at = _at(whole, found)
    # It is of a kind that can be carried, but for this reason.
    if plan.describer.knows(type(found.value)):
        return CodecError(slot.where, f"{reason}{at}")
    annotated = (
        "" if _says_nothing(found.annotation) else f", annotated as {shown(found.annotation)},"
    )
    return CodecError(
        slot.where,
        f"a value of type {_name(found)}{at}{annotated} would not arrive as such; {_advice(plan, slot, found)}",
    )


def changed(slot: Slot, value: object, difference: str) -> CodecError:
    """The error of a value that would arrive as another; `difference` begins with the place within the value."""
    is_whole = difference.startswith(": ")
    said = difference[2:] if is_whole else f"{type(value).__qualname__}{difference}"
    return CodecError(slot.where, f"{said}; {_taught(_whole(slot, value))}")


def shown(annotation: Any) -> str:
    """An annotation as it is written."""
    if isinstance(annotation, typing.TypeVar):
        return annotation.__name__
    is_bare = isinstance(annotation, type) and not typing.get_args(annotation)
    if is_bare:
        return str(annotation.__qualname__)
    return str(annotation).replace("typing.", "").replace("collections.abc.", "")


def _advice(plan: CodingPlan, slot: Slot, place: Place) -> str:
    """What to do about a value of a type that can't be carried there."""
    what = "result" if _is_result(slot) else "parameter"
    if place.annotation is UNRESOLVED:
        is_whole = place.path == _root(slot)
        whose = f"this {what}" if is_whole else place.path
        return f"the annotation of {whose} {NOT_RESOLVED}"
    if isinstance(place.value, Iterator):
        return "pass a list of its elements"
    if plan.is_wrapper:
        return (
            f"a decorator hides this {what}'s annotation: annotate the function that the decorator returns, "
            f"{_taught(place)}"
        )
    return _remedy(slot, place, what)


def _remedy(slot: Slot, place: Place, what: str) -> str:
    kind, name = type(place.value), _name(place)
    if isinstance(place.value, TEXTS_AND_NUMBERS):
        plain = next(each for each in TEXTS_AND_NUMBERS if isinstance(place.value, each))
        how = (
            "pass its .value"
            if isinstance(place.value, enum.Enum)
            else f"convert it: {plain.__name__}(...)"
        )
        return f"{how}; or name {name} in the annotation of the {what}"
    if not is_class_of_values(kind):
        return _taught(place)
    if _says_nothing(place.annotation) and place.path == _root(slot):
        return f"annotate the {what} with {name}, {_taught(place)}"
    return f"name {name} in the annotation of the {what}, {_taught(place)}"


def _reason(error: Exception) -> str:
    return " ".join(reason_of(error).split())[:LONGEST_REASON]


def _taught(place: Place) -> str:
    name = type(place.value).__name__
    return (
        "pass plain data, or teach the codec the type: "
        f"MessagePackCodec(types={{{name}: (to_plain, from_plain)}})"
    )


def _misfit(plan: CodingPlan, whole: Place) -> Place | None:
    describer = plan.describer

    def is_right(place: Place) -> bool:
        return not place.is_checked or describer.fits(place.annotation, place.value)

    try:
        return innermost(whole, describer.fields, is_right)
    except Exception:  # noqa: BLE001 - looking at a user's objects may raise anything
        return None


def _narrowed(plan: CodingPlan, whole: Place, is_right: Callable[[object], bool]) -> Place:
    try:
        return narrowed(whole, plan.describer.fields, lambda place: is_right(place.value))
    except Exception:  # noqa: BLE001 - looking at a user's objects may raise anything
        return whole


def _whole(slot: Slot, value: object) -> Place:
    return Place(_root(slot), slot.annotation, value)


def _root(slot: Slot) -> str:
    """What the path begins with: the argument's name, or "result"."""
    return slot.where.split("'")[1] if "'" in slot.where else slot.where.replace(" ", "_")


def _is_result(slot: Slot) -> bool:
    return slot.where == "result"


def _at(whole: Place, found: Place) -> str:
    return "" if found is whole else f" at {found.path}"


def _name(place: Place) -> str:
    return type(place.value).__qualname__


def _says_nothing(annotation: Any) -> bool:
    return annotation in (Any, object, UNRESOLVED)


def _lacking(place: Place) -> str | None:
    """A key that the value, a dict, must have by its annotation, a TypedDict."""
    if not typing.is_typeddict(place.annotation) or not isinstance(place.value, dict):
        return None
    return min(place.annotation.__required_keys__ - place.value.keys(), default=None)
