"""Turns a checkpoint into encoders and a model repository."""
