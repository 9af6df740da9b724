"""Looks for service keys, and for what only servers may hold, in what clients are served."""

from sba_supabase.scan.rules import RULES, SERVER_MODULES
from sba_supabase.scan.scanning import ScanOptions, scan

__all__ = ["RULES", "SERVER_MODULES", "ScanOptions", "scan"]
