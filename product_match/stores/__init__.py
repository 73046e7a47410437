"""Vector indexes: one interface, Qdrant Edge in process and a Qdrant server."""
