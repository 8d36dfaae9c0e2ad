"""What a store or a codec raises instead of an answer."""

from __future__ import annotations


class StoreError(Exception):
    """The store did not answer an operation.

    `is_logged`: the adapter logs the outage that this belongs to, once when it begins and once when it ends.
    """

    is_logged = False


class Refused(StoreError):
    """The operation was surely not carried out."""


class Ambiguous(StoreError):
    """The operation may have been carried out, or may yet be."""


class Damaged(Ambiguous):
    """Another program has overwritten a key of the store. The message names the key and says what to do."""


class CodecError(Exception):
    """Something can't be encoded or decoded. `where` names the argument ("argument 'order'", "result")."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason
