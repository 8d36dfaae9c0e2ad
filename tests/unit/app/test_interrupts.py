"""Telling Ctrl-C from a KeyboardInterrupt that code raises itself, under both kinds of signal handlers."""

import asyncio
import functools
import signal
from collections.abc import Callable, Iterator

import pytest

from kew.app.working.interrupts import is_interrupt


def by_python_code(prefix: str, number: int, frame: object) -> None:
    raise KeyboardInterrupt(prefix)


@pytest.fixture(params=["python's own handler", "a function", "a partial", "asyncio's"])
def handler(request: pytest.FixtureRequest) -> Iterator[str]:
    handlers: dict[str, Callable[..., object]] = {
        "python's own handler": signal.default_int_handler,
        "a function": lambda number, frame: by_python_code("", number, frame),
        "a partial": functools.partial(by_python_code, "struck"),
        "asyncio's": functools.partial(asyncio.Runner()._on_sigint, main_task=_Done()),  # type: ignore[attr-defined]
    }
    former = signal.signal(signal.SIGINT, handlers[request.param])
    yield request.param
    signal.signal(signal.SIGINT, former)


class _Done:
    def done(self) -> bool:
        return True


def error_of(act: Callable[[], object]) -> BaseException:
    try:
        act()
    except BaseException as error:  # noqa: BLE001 - handed to the test
        return error
    raise AssertionError("nothing was raised")


def raises_it() -> None:
    raise KeyboardInterrupt


def raises_it_anew() -> None:
    try:
        raises_it()
    except KeyboardInterrupt as error:
        raise error.with_traceback(None) from None


def test_what_a_signal_raises_is_an_interrupt(handler):
    assert is_interrupt(error_of(lambda: signal.raise_signal(signal.SIGINT)))


@pytest.mark.parametrize("act", [raises_it, raises_it_anew])
def test_what_code_raises_itself_is_none(handler, act):
    assert not is_interrupt(error_of(act))


def test_an_error_that_was_never_raised_is_none(handler):
    assert not is_interrupt(KeyboardInterrupt())


def test_other_errors_are_none(handler):
    assert not is_interrupt(error_of(lambda: 1 // 0))
    assert not is_interrupt(SystemExit(1))
