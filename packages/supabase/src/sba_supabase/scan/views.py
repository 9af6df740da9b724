"""Bytes to look through and, for what was unwrapped from them, where in the file each byte came from."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class View:
    """Bytes of a file, as they are or unwrapped.

    Attributes:
        data: the bytes.
        ways: how they were unwrapped, outermost first.
        parent: what they were unwrapped from.
        starts: where each piece begins in `data`.
        origins: where each piece begins in the parent.
        stride: bytes of the parent for each byte of a piece; 0 where that is not known.
    """

    data: bytes
    ways: tuple[str, ...] = ()
    parent: View | None = None
    starts: list[int] = field(default_factory=list)
    origins: list[int] = field(default_factory=list)
    stride: int = 1

    def origin(self, offset: int) -> int:
        """Where in the file a byte of this view comes from; where that is not exact, its piece."""
        if self.parent is None:
            return offset
        index = max(0, bisect_right(self.starts, offset) - 1)
        inside = offset - self.starts[index]
        return self.parent.origin(self.origins[index] + inside * self.stride)


class Patchwork:
    """A view being made of pieces of another.

    Args:
        parent: where the pieces come from.
        way: how they are unwrapped.
        stride: bytes of the parent for each byte of a piece; 0 where that is not known.
    """

    def __init__(self, parent: View, way: str, *, stride: int = 0) -> None:
        self._parent = parent
        self._way = way
        self._stride = stride
        self._pieces: list[bytes] = []
        self._starts: list[int] = []
        self._origins: list[int] = []
        self._length = 0

    def add(self, piece: bytes, origin: int) -> None:
        """Append a piece that begins at `origin` in the parent, joined to the one before."""
        self._starts.append(self._length)
        self._origins.append(origin)
        self._pieces.append(piece)
        self._length += len(piece)

    def separate(self) -> None:
        """End what the next piece must not be joined to."""
        self._pieces.append(b"\n\n")
        self._length += 2

    def view(self) -> View | None:
        """What was made, None of nothing."""
        if not self._starts:
            return None
        ways = (*self._parent.ways, self._way)
        data = b"".join(self._pieces)
        return View(data, ways, self._parent, self._starts, self._origins, self._stride)
