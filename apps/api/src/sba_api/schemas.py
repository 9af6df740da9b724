"""What clients send and what they are answered."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError

JsonObject = dict[str, JsonValue]
T = TypeVar("T")
SearchMode = Literal["hybrid", "vector", "text"]


def _not_blank(text: str) -> str:
    if not text.strip():
        raise PydanticCustomError("not_blank", "Must hold more than white space.")
    return text


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class CreateRun(_Request):
    """A prompt for an agent."""

    prompt: Annotated[str, Field(min_length=1, max_length=20_000), AfterValidator(_not_blank)]
    options: JsonObject | None = None


class ExecuteTool(_Request):
    """Arguments for one tool; `run_id` files the call under a run of the same tenant."""

    arguments: JsonObject = Field(default_factory=dict)
    run_id: Annotated[UUID | None, Field(strict=False)] = None


class AddDocument(_Request):
    """A document to make searchable."""

    title: Annotated[str, Field(min_length=1, max_length=300)]
    content: Annotated[str, Field(min_length=1)]
    metadata: JsonObject = Field(default_factory=dict)


class SearchDocuments(_Request):
    """A question to the tenant's documents."""

    query: Annotated[str, Field(min_length=1, max_length=2_000)]
    limit: Annotated[int, Field(ge=1, le=50)] = 10
    mode: SearchMode = "hybrid"


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", from_attributes=True)


class Run(_Answer):
    """One run of an agent."""

    id: UUID
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    prompt: str
    options: JsonObject
    result: Any
    error: JsonObject | None
    user_id: UUID
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration_ms: int | None


class Step(_Answer):
    """One committed step of a run."""

    id: UUID
    run_id: UUID
    seq: int
    kind: str
    name: str
    status: str
    input: Any
    output: Any
    error: JsonObject | None
    duration_ms: int | None
    created_at: datetime


class Event(_Answer):
    """One event of a run; `seq` has no holes."""

    run_id: UUID
    seq: int
    type: str
    data: JsonObject
    at: datetime


class Tool(_Answer):
    """A tool and the JSON schema of its arguments."""

    name: str
    description: str
    arguments: JsonObject


class ToolResult(_Answer):
    """What a tool answered, and the id its call is logged under."""

    call_id: UUID
    name: str
    status: Literal["succeeded"]
    result: Any
    duration_ms: int


class Document(_Answer):
    """A stored document without its text."""

    id: UUID
    title: str
    metadata: JsonObject
    chunk_count: int
    created_at: datetime


class FullDocument(Document):
    """A stored document."""

    content: str


class Hit(_Answer):
    """A passage that answers the question; `ranks` says where each source placed it."""

    document_id: UUID
    title: str
    chunk_id: UUID
    passage: str
    score: float
    ranks: dict[str, int]


class SearchResult(_Answer):
    """Passages, best first. `degraded` is true when `mode` is not what was asked for."""

    items: list[Hit]
    mode: SearchMode
    degraded: bool


class Usage(_Answer):
    """One metric of one hour."""

    metric: str
    period: datetime
    value: Decimal


class AuditEntry(_Answer):
    """Who did what to which resource."""

    id: UUID
    actor_id: UUID | None
    action: str
    resource_type: str
    resource_id: str
    before: Any
    after: Any
    request_id: str | None
    created_at: datetime


class Page(_Answer, Generic[T]):
    """One page; `next_cursor` is null on the last."""

    items: list[T]
    next_cursor: str | None


class Events(_Answer):
    """Events after a sequence number, in order; ask again with `next_after`."""

    items: list[Event]
    next_after: int


class FieldProblem(_Answer):
    """One field that broke one rule."""

    field: str
    rule: str
    message: str


class ProblemDocument(_Answer):
    """An RFC 9457 problem."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldProblem] = Field(default_factory=list)
