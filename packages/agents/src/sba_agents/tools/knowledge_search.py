"""The tool that looks a question up in the tenant's own documents."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, Field

from sba_agents.errors import FieldError, InvalidArguments
from sba_agents.tools.tool import Arguments, Json, ToolContext
from sba_knowledge import search
from sba_knowledge.errors import FieldTooLarge, InvalidField
from sba_knowledge.search import Hit


class KnowledgeSearchArguments(Arguments):
    """What to look for and how."""

    query: Annotated[str, Field(min_length=1, max_length=2_000)]
    limit: Annotated[int, Field(ge=1, le=50)] = 5
    mode: Literal["hybrid", "vector", "text"] = "hybrid"


class KnowledgeSearch:
    """Finds the passages of the tenant's documents nearest to a question."""

    name: ClassVar[str] = "knowledge.search"
    description: ClassVar[str] = "Finds the passages of this tenant's documents that best answer a question."
    Arguments: ClassVar[type[BaseModel]] = KnowledgeSearchArguments

    async def execute(self, context: ToolContext, arguments: KnowledgeSearchArguments) -> Json:
        """The hits, best first.

        Returns:
            `{"mode", "degraded", "hits": [{document_id, title, chunk_id, passage, score, ranks}]}`.

        Raises:
            InvalidArguments: The query has characters that cannot be stored or is too large.
        """
        try:
            hits = await search.query(
                context.reader, arguments.query, limit=arguments.limit, mode=arguments.mode
            )
        except (InvalidField, FieldTooLarge) as error:
            named = FieldError(error.field or "query", str(error))
            raise InvalidArguments(self.name, [named]) from error
        return {"mode": hits.mode, "degraded": hits.degraded, "hits": [_hit(hit) for hit in hits]}


def _hit(hit: Hit) -> Json:
    return {
        "document_id": str(hit.document_id),
        "title": hit.title,
        "chunk_id": str(hit.chunk_id),
        "passage": hit.passage,
        "score": hit.score,
        "ranks": dict(hit.ranks),
    }
