"""What an address of a project has to be, so that every part of the process reads it alike."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

_MISREAD: Final = re.compile(r"[\s\\\x00-\x1f\x7f]")
_PART: Final = re.compile(r"/(rest|auth|storage|functions|realtime)/v1")
_NOT_A_HOST: Final = re.compile(r"%(?!25)|\.\.|^\.")


def _is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _parts(value: str) -> SplitResult:
    if _MISREAD.search(value):
        raise ValueError("must be a URL")
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("must be a URL") from None
    if parts.scheme not in {"https", "http"} or not host:
        raise ValueError("must be an http(s) URL")
    if port == 0 or _NOT_A_HOST.search(host):
        raise ValueError("must be a URL")
    return parts


def plain_url(value: str) -> str:
    """An http(s) URL, without credentials, query or trailing slash.

    Raises:
        ValueError: it is another text; the message says which rule it breaks and none of it.
    """
    netloc = _parts(value).netloc
    if "@" in netloc or "?" in value or "#" in value:
        raise ValueError("must be a URL without credentials, query or fragment")
    return value.rstrip("/")


def service_url(value: str) -> str:
    """A URL whose answers can be believed: https, or http on this machine.

    Raises:
        ValueError: it is another text.
    """
    address = plain_url(value)
    parts = urlsplit(address)
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise ValueError("must be an https URL (http on loopback only)")
    return address


def project_url(value: str) -> str:
    """A `service_url` of a whole project, not of one of its parts such as `/rest/v1`.

    Raises:
        ValueError: it is another text.
    """
    address = service_url(value)
    if _PART.search(urlsplit(address).path):
        raise ValueError("must be the project's address, without /rest/v1 or the like")
    return address
