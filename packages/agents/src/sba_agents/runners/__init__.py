"""How a prompt is answered: the runner contract and the runner that comes with it."""

from sba_agents.runners.extractive import ExtractiveRunner
from sba_agents.runners.runner import Runner

__all__ = ["ExtractiveRunner", "Runner"]
