"""Every route of the service."""

from sba_api.routes import audit, health, knowledge, runs, tools, usage

ROUTERS = (runs.router, tools.router, knowledge.router, usage.router, audit.router, health.router)

__all__ = ["ROUTERS"]
