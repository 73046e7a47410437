"""Product matching inside NVIDIA Triton: the package that serves."""

__version__ = "0.1.0"
