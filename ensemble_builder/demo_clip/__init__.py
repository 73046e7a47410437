"""Trains the small demonstration CLIP that the project ships; the only package here that imports torch."""
