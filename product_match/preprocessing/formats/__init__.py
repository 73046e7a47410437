"""One module a format: what is read of a photo before anything is decoded, and its decoder."""
