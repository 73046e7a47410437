"""A catalogue of any size, loaded with the real command: rate, memory, disk, verify, and rebuild under searches."""
