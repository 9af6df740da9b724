"""What every tool looks like to a registry and to whoever calls it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue

from sba_db.sessions import ReadSession

Json: TypeAlias = dict[str, JsonValue]


class Arguments(BaseModel):
    """Base of a tool's arguments: immutable, unknown fields and other types refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, str_strip_whitespace=True)


@dataclass(frozen=True, slots=True)
class ToolContext:
    """On whose behalf a tool works.

    Attributes:
        reader: Reads one tenant's rows; the tenant is `reader.tenant_id`.
        user_id: Who asked, if a person did.
        run_id: The run it belongs to, if any.
    """

    reader: ReadSession
    user_id: UUID | None = None
    run_id: UUID | None = None


class Tool(Protocol):
    """Something an agent can do.

    Attributes:
        name: Unique in a registry, dotted lower case.
        description: One or two sentences for a model or a person choosing among tools.
        Arguments: The model its arguments are checked against before it runs.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    Arguments: ClassVar[type[BaseModel]]

    async def execute(self, context: ToolContext, arguments: Any) -> Json:  # noqa: ANN401 - an instance of Arguments
        """Do it.

        Args:
            context: On whose behalf.
            arguments: An instance of `Arguments`.

        Returns:
            A JSON object.

        Raises:
            ToolFailed: It could not, for a reason its user may read.
        """
        ...
