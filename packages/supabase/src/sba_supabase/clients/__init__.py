"""Clients of a Supabase project, one kind for each context."""
