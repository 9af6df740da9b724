"""What the knowledge library refuses; both are also errors of `sba_db`, so that one table of errors serves.

KnowledgeError
├── InvalidField(field, reason)          a value no document or search may have (an `sba_db.InvalidValue`)
└── FieldTooLarge(field, limit, size)    more bytes than may be stored (an `sba_db.PayloadTooLarge`)
"""

from __future__ import annotations

from sba_db.errors import InvalidValue, PayloadTooLarge


class KnowledgeError(Exception):
    """Root of the tree."""


class InvalidField(KnowledgeError, InvalidValue):
    """A value that no document or search may have.

    Attributes:
        field: The field's name.
        reason: What is wrong with it, without the value.
    """

    def __init__(self, field: str, reason: str) -> None:
        InvalidValue.__init__(self, reason, field=field)


class FieldTooLarge(KnowledgeError, PayloadTooLarge):
    """More bytes of UTF-8 than may be stored.

    Attributes:
        field: The field's name.
        limit: Most bytes allowed.
        size: Bytes given.
    """

    def __init__(self, field: str, *, limit: int, size: int) -> None:
        PayloadTooLarge.__init__(self, field=field, limit=limit, size=size)
