"""What is kept of an error: failures of one cause have one fingerprint, whatever the error does."""

import json
import traceback
from collections.abc import Callable

import pytest

from kew import GiveUp
from kew.app.fingerprints import MAX_MESSAGE_BYTES, MAX_TRACEBACK_BYTES, report_of
from kew.domain.reports import MOST_GROUP_BYTES, Report, as_group

FUNCTION = "tests.unit.app.test_fingerprints:task"
HERE = __name__


class Declined(Exception):
    pass


class Hostile(Exception):
    def __str__(self) -> str:
        raise SystemExit("no text")


def raised(function: Callable[[], object]) -> BaseException:
    try:
        function()
    except BaseException as error:  # noqa: BLE001 - any of them
        return error
    raise AssertionError("it raised nothing")


def report(error: BaseException, function: str = FUNCTION, *, keeps: bool = True) -> Report:
    return report_of(error, function, keeps_traceback=keeps)


def declined(text: str = "no") -> None:
    raise Declined(text)


def test_the_group_is_the_type_and_the_innermost_place_in_the_users_code():
    found = report(raised(declined))
    assert found.group == f"{HERE}.Declined@{HERE}:declined"
    assert (found.kind, found.message) == (f"{HERE}.Declined", "no")


def test_what_a_library_raises_belongs_to_the_code_that_called_it():
    found = report(raised(lambda: json.loads("{")))
    assert found.group.startswith("json.decoder.JSONDecodeError@")
    assert found.group.endswith(
        ":test_what_a_library_raises_belongs_to_the_code_that_called_it.<locals>.<lambda>"
    )


def test_two_messages_and_two_lines_are_one_group():
    def fails(n: int) -> None:
        if n:
            raise KeyError(n)
        raise KeyError("another")

    assert report(raised(lambda: fails(0))).group == report(raised(lambda: fails(1))).group


def test_an_error_that_was_raised_nowhere_belongs_to_the_function():
    assert report(TimeoutError("timed out")).group == f"TimeoutError@{FUNCTION}"
    closure = report(TimeoutError(), "@web-1-4711-x/shop:f.<locals>.g")
    assert closure.group == "TimeoutError@shop:f.<locals>.g"


def test_code_of_the_functions_own_package_counts_although_it_is_installed():
    error = raised(lambda: json.loads("{"))
    assert report(error, "json.decoder:JSONDecoder").group.endswith(
        "@json.decoder:JSONDecoder.raw_decode"
    )


def test_kews_own_errors_go_by_their_name():
    def gives_up() -> None:
        raise GiveUp("no such account")

    assert report(raised(gives_up)).kind == "GiveUp"


def test_a_group_of_errors_goes_by_the_first_of_them():
    first = raised(declined)
    found = report(BaseExceptionGroup("two", [first, ValueError()]))
    assert found.group == f"{HERE}.Declined@{HERE}:declined"


def test_the_traceback_is_as_python_prints_it():
    error = raised(declined)
    assert report(error).traceback == "".join(traceback.format_exception(error))


def test_a_cause_is_part_of_the_traceback():
    def fails() -> None:
        try:
            declined("the cause")
        except Declined as error:
            raise ValueError("the effect") from error

    text = report(raised(fails)).traceback
    assert text.index("the cause") < text.index("direct cause") < text.index("the effect")


def test_a_long_traceback_is_cut_from_the_start():
    def deep(n: int) -> None:
        if n:
            deep(n - 1)
        raise ValueError("é" * 3_000)

    text = report(raised(lambda: deep(500))).traceback
    assert text.startswith("[...]\n")
    assert text.endswith("é\n")
    assert MAX_TRACEBACK_BYTES - 4 <= len(text.encode()) <= MAX_TRACEBACK_BYTES


def test_a_long_message_is_cut():
    assert len(report(ValueError("é" * 3_000)).message.encode()) == MAX_MESSAGE_BYTES


def test_no_traceback_is_kept_if_none_is_wanted():
    found = report(raised(declined), keeps=False)
    assert (found.traceback, found.group) == ("", f"{HERE}.Declined@{HERE}:declined")


def test_a_hostile_error_has_a_report_too():
    def fails() -> None:
        raise Hostile

    found = report(raised(fails))
    assert found.message == "(str() raised SystemExit)"
    assert found.group.startswith(f"{HERE}.Hostile@")


def test_what_a_recursion_leaves_is_kept_in_bounds():
    def forever() -> None:
        forever()

    found = report(raised(forever))
    assert found.kind == "RecursionError"
    assert 0 < len(found.traceback.encode()) <= MAX_TRACEBACK_BYTES


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("KeyError@m:f", "KeyError@m:f"),
        ("a b\n%\x00\x7f", "a_b____"),
        ("é" * MOST_GROUP_BYTES, "é" * (MOST_GROUP_BYTES // 2)),
        ("\ud800", "?"),
    ],
)
def test_a_group_is_one_word_of_bounded_length(name: str, expected: str):
    assert as_group(name) == expected
    assert Report(group=name).group == expected
