"""What a worker says of an attempt that failed, besides the error in words."""

from __future__ import annotations

import re
from typing import Final

import attrs

MOST_GROUP_BYTES: Final = 200
NOT_PLAIN: Final = re.compile(r"[\x00-\x20%\x7f]")


def as_group(name: str) -> str:
    """The name as that of a group: without blanks and control characters, cut to 200 bytes."""
    plain = NOT_PLAIN.sub("_", name)
    return plain.encode("utf-8", "replace")[:MOST_GROUP_BYTES].decode("utf-8", "ignore")


@attrs.frozen(kw_only=True, weakref_slot=False)
class Report:
    """What a worker says of an attempt that failed. `group`: its fingerprint; "": none.

    `kind` is the error's type, `message` its text, `traceback` the end of its traceback as Python prints it ("": it
    isn't kept).
    """

    group: str = attrs.field(default="", converter=as_group)
    kind: str = ""
    message: str = ""
    traceback: str = ""


NO_REPORT: Final = Report()
