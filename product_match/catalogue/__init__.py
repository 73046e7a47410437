"""The catalogue: documents in MongoDB are the truth, the vector index is derived from them."""
