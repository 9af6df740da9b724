"""Keys, tokens and the principal they prove."""
