"""From embeddings to ranked products."""
