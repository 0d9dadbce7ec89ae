"""What every process knows of an S3-compatible store: where its bucket is, and how requests to it are signed. Pure."""
