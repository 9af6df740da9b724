"""Done this before: tenant-keyed cache with versions that make invalidation one command."""
