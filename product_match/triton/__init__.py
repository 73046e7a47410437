"""Between Triton's Python backend and the services. `pb_utils` is passed in, never imported."""
