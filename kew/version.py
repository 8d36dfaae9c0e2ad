"""kew's version; `pyproject.toml` has the same."""

VERSION = "0.3.0"
