"""What an agent does: events, tools, runners, durable execution and the queue that drives them.

The queue is `sba_agents.jobs`, imported by whoever installs it or works for it.
"""

from sba_agents import events
from sba_agents.barriers import Barriers, NoBarriers
from sba_agents.context import RunContext
from sba_agents.errors import (
    AgentError,
    Failed,
    FieldError,
    InvalidArguments,
    MalformedEvent,
    RunBusy,
    RunInterrupted,
    StepChanged,
    StepReused,
    ToolFailed,
    UnknownTool,
)
from sba_agents.events import RunEvent
from sba_agents.execution import Dependencies, ExecutionSettings, execute_run
from sba_agents.holding import LeaseTimes
from sba_agents.registry import ToolDescription, ToolRegistry, default_registry
from sba_agents.runners import ExtractiveRunner, Runner
from sba_agents.submission import enqueue, submit_run
from sba_agents.tools import Arguments, Calculator, Json, KnowledgeSearch, Tool, ToolContext

__all__ = [
    "AgentError",
    "Arguments",
    "Barriers",
    "Calculator",
    "Dependencies",
    "ExecutionSettings",
    "ExtractiveRunner",
    "Failed",
    "FieldError",
    "InvalidArguments",
    "Json",
    "KnowledgeSearch",
    "LeaseTimes",
    "MalformedEvent",
    "NoBarriers",
    "RunBusy",
    "RunContext",
    "RunEvent",
    "RunInterrupted",
    "Runner",
    "StepChanged",
    "StepReused",
    "Tool",
    "ToolContext",
    "ToolDescription",
    "ToolFailed",
    "ToolRegistry",
    "UnknownTool",
    "default_registry",
    "enqueue",
    "events",
    "execute_run",
    "submit_run",
]
