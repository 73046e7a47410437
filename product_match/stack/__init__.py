"""The local stack: Triton, the document store and their supervision on one machine, without containers."""
