"""A pool on disk or object storage: items and embeddings."""
