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
        code: Supabase Storage's name for it.
        message: what went wrong.
        legacy: the name that it had before there were codes, where that was another.
    """

    status: int
    code: str
    message: str
    legacy: str = ""

    def __post_init__(self) -> None:
        super().__init__(self.message)

    def document(self) -> dict[str, str]:
        """The answer's body."""
        return {
            "statusCode": str(self.status),
            "code": self.code,
            "error": self.legacy or self.code,
            "message": self.message,
        }


def invalid(message: str) -> StorageRefusal:
    """The request's body is not what it should be."""
    return StorageRefusal(400, "InvalidRequest", message, "invalid_request")


def bucket_missing() -> StorageRefusal:
    """No such bucket, or none the caller may see."""
    return StorageRefusal(404, "NoSuchBucket", "Bucket not found", "Bucket not found")


def object_missing() -> StorageRefusal:
    """No such object, or none the caller may see."""
    return StorageRefusal(404, "NoSuchKey", "Object not found", "not_found")


def duplicate() -> StorageRefusal:
    """There is one of that name already."""
    return StorageRefusal(409, "ResourceAlreadyExists", "The resource already exists", "Duplicate")


def denied() -> StorageRefusal:
    """A policy forbids it."""
    return StorageRefusal(403, "AccessDenied", "new row violates row-level security policy", "Unauthorized")


def bad_key(name: str) -> StorageRefusal:
    """No name for an object."""
    return StorageRefusal(400, "InvalidKey", f"Invalid key: {name[:100]}")


def bad_bucket() -> StorageRefusal:
    """No name for a bucket."""
    return StorageRefusal(400, "InvalidBucketName", "Bucket name invalid", "Invalid Input")


def too_large() -> StorageRefusal:
    """Larger than the bucket, or the stand-in, allows."""
    message = "The object exceeded the maximum allowed size"
    return StorageRefusal(413, "EntityTooLarge", message, "Payload too large")


def wrong_type(kind: str) -> StorageRefusal:
    """A type the bucket does not take."""
    message = f"mime type {kind[:100]} is not supported"
    return StorageRefusal(415, "InvalidMimeType", message, "invalid_mime_type")


def not_empty() -> StorageRefusal:
    """A bucket that holds objects cannot be deleted."""
    return StorageRefusal(409, "ResourceNotEmpty", "The bucket you tried to delete is not empty")


def bad_token(message: str) -> StorageRefusal:
    """The token of a signed URL is none, or over."""
    return StorageRefusal(400, "InvalidJWT", message)


def other_url() -> StorageRefusal:
    """The token was made for another URL."""
    return StorageRefusal(400, "InvalidSignature", "The url signature is invalid")
