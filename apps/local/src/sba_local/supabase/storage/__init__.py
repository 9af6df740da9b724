"""Buckets and objects of the stand-in, as Supabase Storage answers for them."""
