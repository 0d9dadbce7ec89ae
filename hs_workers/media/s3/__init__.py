"""Media in an S3-compatible object store, as the only place where they are kept."""
