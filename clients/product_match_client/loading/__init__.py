"""Loads of many products: sources, downloads, the window of requests in flight, rejects, and watched folders."""
