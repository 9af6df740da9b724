"""Who is calling: settings, keys, verified tokens, tenants and the Supabase-side schema."""
