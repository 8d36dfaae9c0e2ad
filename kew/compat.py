"""What newer Pythons bring and Python 3.11 lacks. Nothing else may stand here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import override
else:
    try:
        from typing import override
    except ImportError:  # Python 3.11

        def override(method):
            """Mark a method that overrides; the type checker verifies it."""
            return method


__all__ = ["override"]
