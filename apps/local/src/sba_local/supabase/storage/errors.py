"""What the storage stand-in answers when it refuses.

StorageRefusal           a refusal; its status is in the body, the answer's own is 400, as in Supabase Storage
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(eq=False)
class StorageRefusal(Exception):
    """A refusal.

    Attributes:
        status: as the body tells it.
        error: Supabase Storage's name for it.
        message: what went wrong.
    """

    status: int
    error: str
    message: str

    def __post_init__(self) -> None:
        super().__init__(self.message)

    def document(self) -> dict[str, str]:
        """The answer's body."""
        return {"statusCode": str(self.status), "error": self.error, "message": self.message}


def invalid(message: str) -> StorageRefusal:
    """The request's body is not what it should be."""
    return StorageRefusal(400, "invalid_request", message)


def bucket_missing() -> StorageRefusal:
    """No such bucket, or none the caller may see."""
    return StorageRefusal(404, "Bucket not found", "Bucket not found")


def object_missing() -> StorageRefusal:
    """No such object, or none the caller may see."""
    return StorageRefusal(404, "not_found", "Object not found")


def duplicate() -> StorageRefusal:
    """There is one of that name already."""
    return StorageRefusal(409, "Duplicate", "The resource already exists")


def denied() -> StorageRefusal:
    """A policy forbids it."""
    return StorageRefusal(403, "Unauthorized", "new row violates row-level security policy")


def bad_key(name: str) -> StorageRefusal:
    """No name for an object or a bucket."""
    return StorageRefusal(400, "InvalidKey", f"Invalid key: {name[:100]}")


def too_large() -> StorageRefusal:
    """Larger than the bucket, or the stand-in, allows."""
    return StorageRefusal(413, "Payload too large", "The object exceeded the maximum allowed size")


def wrong_type(kind: str) -> StorageRefusal:
    """A type the bucket does not take."""
    return StorageRefusal(415, "invalid_mime_type", f"mime type {kind[:100]} is not supported")


def not_empty() -> StorageRefusal:
    """A bucket that holds objects cannot be deleted."""
    return StorageRefusal(409, "InvalidRequest", "The bucket you tried to delete is not empty")


def bad_token(message: str) -> StorageRefusal:
    """The token of a signed URL is none, or over."""
    return StorageRefusal(400, "InvalidJWT", message)


def other_url() -> StorageRefusal:
    """The token was made for another URL."""
    return StorageRefusal(400, "InvalidSignature", "The url signature is invalid")
