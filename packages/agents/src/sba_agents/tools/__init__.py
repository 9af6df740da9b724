"""What an agent can do: the tool contract and the tools that come with it."""

from sba_agents.tools.calculator import Calculator
from sba_agents.tools.knowledge_search import KnowledgeSearch
from sba_agents.tools.tool import Arguments, Json, Tool, ToolContext

__all__ = ["Arguments", "Calculator", "Json", "KnowledgeSearch", "Tool", "ToolContext"]
