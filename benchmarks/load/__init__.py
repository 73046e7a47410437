"""Load on a running server: what is sent, when, what comes back, and what it costs the server."""
