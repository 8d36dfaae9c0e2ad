"""The rights that docs/redis.md says a user of kew needs, as Redis and the Sentinels read them."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "redis.md"


def rights(user: str = "kew") -> list[str]:
    """The words after the password in the documented ACL line of this user."""
    line = re.search(rf"^ACL SETUSER {user} on >PASSWORD (.*)$", PAGE.read_text(), re.MULTILINE)
    assert line is not None
    return line[1].split()
