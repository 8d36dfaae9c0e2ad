"""The durable embedded store: `sqlite:///path/to/kew.db`, one file that the processes of one host share."""

from kew.adapters.sqlite.connecting import connect

__all__ = ["connect"]
