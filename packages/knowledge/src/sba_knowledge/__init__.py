"""What do we know: documents, passages and search, tenant by tenant."""
