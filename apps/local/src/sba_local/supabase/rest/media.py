"""What the answer looks like (PostgREST: references/api/resource_representation)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from sba_local.supabase.rest.errors import RestError

Shape = Literal["array", "object", "csv", "openapi"]
_JSON: Final = "application/json"
_OBJECT: Final = "application/vnd.pgrst.object+json"
_ARRAY: Final = "application/vnd.pgrst.array+json"


@dataclass(frozen=True, slots=True)
class Media:
    """A representation.

    Attributes:
        shape: of the body.
        name: the media type to answer with.
        stripped: whether nulls are left out.
    """

    shape: Shape
    name: str
    stripped: bool = False

    @property
    def content_type(self) -> str:
        """The header."""
        nulls = ";nulls=stripped" if self.stripped else ""
        return f"{self.name}{nulls}; charset=utf-8"


_CHOICES: Final[dict[str, Media]] = {
    "*/*": Media("array", _JSON),
    "application/*": Media("array", _JSON),
    _JSON: Media("array", _JSON),
    "application/vnd.pgrst.object": Media("object", _OBJECT),
    _OBJECT: Media("object", _OBJECT),
    "application/vnd.pgrst.array": Media("array", _JSON),
    _ARRAY: Media("array", _JSON),
    "text/csv": Media("csv", "text/csv"),
    "application/openapi+json": Media("openapi", "application/openapi+json"),
}
_WEIGHT: Final = re.compile(r"[01](?:\.\d{0,3})?")
PLAIN: Final = _CHOICES[_JSON]


def negotiate(accept: str) -> Media:
    """The first representation of the Accept header that there is.

    Raises:
        RestError: PGRST107, there is none.
    """
    offered = [part.strip() for part in accept.split(",") if part.strip()] or ["*/*"]
    for part in sorted(offered, key=_preference, reverse=True):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        media = _CHOICES.get(name)
        if media is not None:
            return _stripped(media) if "nulls=stripped" in parameters else media
    message = f"None of these media types are available: {', '.join(offered)}"
    raise RestError(406, "PGRST107", message)


def _preference(offer: str) -> tuple[float, int]:
    """How much it is wanted: by its `q`, then by how exactly it says what."""
    name, *parameters = offer.split(";")
    weights = [piece.strip()[2:] for piece in parameters if piece.strip().startswith("q=")]
    good = bool(weights) and _WEIGHT.fullmatch(weights[0]) is not None
    return float(weights[0]) if good else 1.0, -name.count("*")


def _stripped(media: Media) -> Media:
    return Media(media.shape, _ARRAY if media.shape == "array" else media.name, stripped=True)
