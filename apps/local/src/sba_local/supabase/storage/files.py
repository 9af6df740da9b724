"""The contents of objects, on disk: one file for each version, named by nobody but us."""

from __future__ import annotations

import asyncio
import os
import shutil
import uuid
from pathlib import Path


class Files:
    """Contents by version.

    Args:
        place: the directory, made when it is needed.
    """

    def __init__(self, place: Path) -> None:
        self._place = place

    def path(self, version: str) -> Path:
        """Where a version is.

        Raises:
            ValueError: it is no version of ours.
        """
        return self._place / str(uuid.UUID(version))

    async def write(self, content: bytes) -> str:
        """Keep a content and return its version."""
        version = str(uuid.uuid4())
        await asyncio.to_thread(self._write, self.path(version), content)
        return version

    async def copy(self, version: str) -> str:
        """Keep a content twice and return the version of the second."""
        copied = str(uuid.uuid4())
        await asyncio.to_thread(shutil.copyfile, self.path(version), self.path(copied))
        return copied

    async def remove(self, *versions: str) -> None:
        """Forget contents; those that are gone already are no error."""
        for version in versions:
            await asyncio.to_thread(self.path(version).unlink, missing_ok=True)

    def _write(self, path: Path, content: bytes) -> None:
        self._place.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
