"""The names of OpenTelemetry's semantic conventions for generative AI that spans here carry."""

from __future__ import annotations

from typing import Final

INVOKE_AGENT: Final = "invoke_agent"
EXECUTE_TOOL: Final = "execute_tool"
OPERATION: Final = "gen_ai.operation.name"
TOOL_NAME: Final = "gen_ai.tool.name"
