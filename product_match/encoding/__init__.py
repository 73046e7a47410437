"""Encoders that run in the Python backend: ONNX Runtime sessions, where TensorRT does not serve them.

Looks at the contract only.
"""
