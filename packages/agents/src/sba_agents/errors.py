"""What can go wrong between a prompt and its answer.

AgentError
├── UnknownTool        no tool of that name is registered
├── InvalidArguments   the arguments do not fit the tool; names each field
├── Failed             the work ended with a stated reason, fit for its user
│   ├── ToolFailed     a tool could not do what it was asked
│   ├── StepReused     a runner used one step name twice in a run
│   └── StepChanged    a resumed run asked for other work under a committed step's name
├── MalformedEvent     a stream entry is not a run event
├── RunBusy            another live lease holds the run; try again later
└── RunInterrupted     this attempt lost its lease or was stopped; another one goes on
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class AgentError(Exception):
    """Root of everything this library raises itself.

    Attributes:
        code: A stable word for programs.
    """

    code: str = "agent_error"


class UnknownTool(AgentError):
    """No tool of that name is registered."""

    code = "unknown_tool"

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no tool named {name!r}")
        self.name = name


@dataclass(frozen=True, slots=True)
class FieldError:
    """One argument that does not fit.

    Attributes:
        field: Its dotted path, empty for the arguments as a whole.
        message: The rule it breaks; never the value.
    """

    field: str
    message: str


class InvalidArguments(AgentError):
    """The arguments do not fit the tool.

    Attributes:
        name: The tool.
        errors: Every field that breaks a rule.
    """

    code = "invalid_arguments"

    def __init__(self, name: str, errors: Sequence[FieldError]) -> None:
        listed = "; ".join(f"{error.field or 'arguments'}: {error.message}" for error in errors)
        super().__init__(f"{name}: {listed}")
        self.name = name
        self.errors = tuple(errors)


class Failed(AgentError):
    """The work ended with a reason that its user may read.

    Attributes:
        code: A stable word for programs.
        message: One sentence for people, without internals.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class ToolFailed(Failed):
    """A tool could not do what it was asked."""


class StepReused(Failed):
    """A runner used one step name twice in a run."""

    def __init__(self, name: str) -> None:
        super().__init__("step_reused", f"the step {name!r} was asked for twice in one run")


class StepChanged(Failed):
    """A resumed run asked for other work under the name of a committed step."""

    def __init__(self, name: str) -> None:
        super().__init__("step_changed", f"the step {name!r} was committed with another input")


class MalformedEvent(AgentError):
    """A stream entry is not a run event."""

    code = "malformed_event"


class RunBusy(AgentError):
    """Another live lease holds the run.

    Attributes:
        retry_after: Seconds until that lease ends if nobody renews it.
    """

    code = "run_busy"

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"another worker holds this run for {retry_after:.1f} s")
        self.retry_after = retry_after


class RunInterrupted(AgentError):
    """This attempt stopped before the run was finished; another one goes on.

    Attributes:
        retry_after: Seconds after which the run can be taken up again.
    """

    code = "run_interrupted"

    def __init__(self, retry_after: float) -> None:
        super().__init__("this attempt no longer holds the run")
        self.retry_after = retry_after
