"""Users, sessions and tokens of the stand-in, as Supabase Auth answers for them."""
