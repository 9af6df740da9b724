"""The one door of the stand-in: looks at keys and tokens, then hands on to the service asked for."""

from sba_local.supabase.gateway.app import Gateway, Project
from sba_local.supabase.gateway.identity import Identity, Keys

__all__ = ["Gateway", "Identity", "Keys", "Project"]
