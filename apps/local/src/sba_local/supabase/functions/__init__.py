"""Edge functions of the stand-in: Python handlers, called by name."""

from sba_local.supabase.functions.app import FunctionsApp
from sba_local.supabase.functions.handlers import Answer, Call, Handler

__all__ = ["Answer", "Call", "FunctionsApp", "Handler"]
