"""What the two tenants of the demo know: our own writing, English and Indonesian."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files


def documents(tenant: str) -> Iterator[tuple[str, str]]:
    """The title and text of each document of a tenant, by file name."""
    for page in sorted((files(__name__) / tenant).iterdir(), key=lambda item: item.name):
        title, _, content = page.read_text(encoding="utf-8").partition("\n")
        yield title.removeprefix("# "), content.strip()
