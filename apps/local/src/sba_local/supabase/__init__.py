"""Stand-ins for the parts of a Supabase project, for development and tests only."""
