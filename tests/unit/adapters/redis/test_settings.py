"""The stored form of settings follows from what `Settings` says of each of them."""

import re
from typing import Any

import attrs
import pytest

from kew.adapters.redis.library import genuine_library
from kew.adapters.redis.settings import FORMAT, FORMATS, LATER, read_settings, write_settings
from kew.domain.config import Settings

FIRST = frozenset(attrs.fields_dict(Settings)) - LATER.keys()  # what every version knows


def other_than_default(name: str) -> Settings:
    default: Any = getattr(Settings(), name)
    value: Any = ((2, 700, 0),) if isinstance(default, tuple) else default + 7
    return attrs.evolve(Settings(), **{name: value})


def test_without_later_settings_the_text_is_one_that_every_version_reads():
    text = dict(pair.split("=") for pair in write_settings(Settings()).split())
    assert {name for name, value in text.items() if value == "-"} == {*LATER, "format"}
    assert text.keys() - LATER.keys() - {"format"} == FIRST


@pytest.mark.parametrize("name", attrs.fields_dict(Settings))
def test_each_setting_comes_back_as_it_was(name):
    settings = other_than_default(name)
    assert read_settings(write_settings(settings)) == settings


@pytest.mark.parametrize("name", attrs.fields_dict(Settings))
def test_a_setting_asks_for_the_format_that_knows_it(name):
    found = f" format={FORMATS.get(name) or '-'}"
    assert write_settings(other_than_default(name)).endswith(found)


def test_a_setting_keeps_the_format_that_knew_it_first():
    known = {"rates": 3, "timeout_ms": 4, "key_workers": 5, "key_size": 5, "key_rate": 5}
    assert FORMATS.items() >= (known | {"max_snoozes": 0}).items()


def test_lua_knows_the_same_formats():
    text = genuine_library().text
    compared = {
        *re.findall(r"format_of\(stored\) > (\w+)", text),
        *re.findall(r"s\.format > (\w+)", text),
    }
    assert compared == {str(FORMAT)}
    assert f"rates = '{FORMATS['rates']}', timeout_ms = '{FORMATS['timeout_ms']}'" in text
