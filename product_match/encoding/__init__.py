"""Encoders that run in the Python backend: ONNX Runtime sessions."""
