"""A stand-in for a Supabase project's REST API, a subset of PostgREST, for development and tests only."""

from sba_local.supabase.errors import LoginTooPowerful
from sba_local.supabase.rest.app import RestApp
from sba_local.supabase.rest.authenticator import ensure_authenticator
from sba_local.supabase.rest.errors import RestError
from sba_local.supabase.rest.exchange import RestSettings

__all__ = ["LoginTooPowerful", "RestApp", "RestError", "RestSettings", "ensure_authenticator"]
