"""One module of functions a table: the only place where the internal tables are named."""
