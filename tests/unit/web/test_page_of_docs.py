"""What docs/admin.md lists is what the API has."""

import re
from pathlib import Path

from kew.web import admin, problems
from tests.unit.web.serving import TOKEN

PAGE = (Path(__file__).parents[3] / "docs/admin.md").read_text()


def test_every_endpoint_is_listed():
    paths = admin("memory://", token=TOKEN).openapi()["paths"]
    endpoints = {f"{method.upper()} {path}" for path, each in paths.items() for method in each}
    assert set(re.findall(r"^\| `([A-Z]+ /api/\S+)` \|", PAGE, re.MULTILINE)) == endpoints


def test_every_code_of_an_error_is_listed():
    listed = set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", PAGE))
    codes = {code for _, _, code in problems.ERRORS} | set(problems.HTTP_CODES.values())
    assert codes <= listed
