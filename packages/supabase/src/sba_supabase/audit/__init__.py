"""Looks for Supabase used past `sba_supabase` in the services that consume it."""

from sba_supabase.audit.auditing import AuditOptions, audit
from sba_supabase.audit.rules import RULES

__all__ = ["RULES", "AuditOptions", "audit"]
