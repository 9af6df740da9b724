"""Finding the passages that answer a question in English or Indonesian."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, overload
from uuid import UUID

from sba_db import ReadSession
from sba_knowledge import store
from sba_knowledge.document import check_text
from sba_knowledge.documents import check_limit
from sba_knowledge.errors import InvalidField
from sba_knowledge.stopwords import STOP_WORDS
from sba_telemetry.metrics import counter
from sba_telemetry.traces import span

Mode = Literal["hybrid", "vector", "text"]

HITS_LIMIT: Final = 50
TEXT_LIMIT: Final = 32 * 1024
WORDS_LIMIT: Final = 64
_MODES: Final = ("hybrid", "vector", "text")
_OUTER: Final = re.compile(r"^[\W_]+|[\W_]+$")

_searches: Final = counter(
    "sba.knowledge.searches", description="Searches answered, by the mode that answered"
)


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that answers.

    Attributes:
        title: The document's title.
        passage: At most 900 characters of the document.
        score: Higher is better; comparable within one result only.
        ranks: Place in each source's own order, from 1; so far the one source is ``text``.
    """

    document_id: UUID
    title: str
    chunk_id: UUID
    passage: str = field(repr=False)
    score: float
    ranks: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Hits(Sequence[Hit]):
    """The passages found, best first.

    Attributes:
        mode: How they were found.
        degraded: True if that is less than what was asked for.
    """

    found: tuple[Hit, ...]
    mode: Mode
    degraded: bool

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Hit]: ...
    def __getitem__(self, index: int | slice) -> Hit | Sequence[Hit]:
        return self.found[index]

    def __len__(self) -> int:
        return len(self.found)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.found)


async def query(reader: ReadSession, text: str, limit: int = 10, mode: Mode = "hybrid") -> Hits:
    """Find the tenant's passages that say most about a question, in one round trip.

    Any of the question's words may match, whatever its English or Indonesian ending; words that carry no
    subject are left out unless there are no others, and beyond the first 64 words the rest is not looked at.

    Args:
        reader: Whose passages.
        text: A question or keywords, at most 32 KiB.
        limit: Most hits, 1 to 50.
        mode: How to search. Vectors are not there yet: other modes than ``text`` are answered by text search
            and marked as degraded.

    Raises:
        InvalidField: The text is empty or cannot be stored, the limit is out of bounds, the mode is unknown.
        FieldTooLarge: The text is over its limit.
        DatabaseError: See `sba_db.errors`.
    """
    check_text("query", text, limit=TEXT_LIMIT)
    check_limit(limit, most=HITS_LIMIT)
    if mode not in _MODES:
        raise InvalidField("mode", f"must be one of {', '.join(_MODES)}")
    with span("knowledge.search", attributes={"sba.knowledge.mode": "text"}) as here:
        rows = await store.search(reader, telling_words(text), limit=limit)
        here.set_attribute("sba.knowledge.hits", len(rows))
    _searches.add(1, {"mode": "text", "degraded": mode != "text"})
    found = tuple(Hit(**row, ranks={"text": place}) for place, row in enumerate(rows, start=1))
    return Hits(found, mode="text", degraded=mode != "text")


def telling_words(text: str) -> list[str]:
    """Return the distinct words that say what a text is about, in order, at most `WORDS_LIMIT`.

    Stop words are left out, or kept if there is nothing else.
    """
    bare = (_OUTER.sub("", piece) for piece in text.lower().replace("\u2019", "'").split())
    distinct = [word for word in dict.fromkeys(bare) if word]
    telling = [word for word in distinct if word not in STOP_WORDS]
    return (telling or distinct)[:WORDS_LIMIT]
