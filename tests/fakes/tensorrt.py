"""TensorRT's builder as far as the project calls it, with the differences between versions 10 and 11."""

from __future__ import annotations

import types
from typing import Any


class ILogger:
    """Base of loggers."""

    class Severity:
        INTERNAL_ERROR, ERROR, WARNING, INFO = range(4)


class Cache:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> bytes:
        return self.content


class Config:
    """Takes a timing cache that is empty or its own, and adds to it."""

    def __init__(self) -> None:
        self.cache: Cache | None = None

    def create_timing_cache(self, content: bytes) -> Cache:
        return Cache(content)

    def set_timing_cache(self, cache: Cache, ignore_mismatch: bool) -> bool:
        if cache.content and not cache.content.startswith(b"tactics"):
            return False
        self.cache = Cache(cache.content + b"tactics ")
        return True

    def get_timing_cache(self) -> Cache | None:
        return self.cache

    def add_optimization_profile(self, profile: dict[str, Any]) -> None:
        self.profile = profile


class Profile(dict[str, Any]):
    def set_shape(self, name: str, *shapes: tuple[int, ...]) -> None:
        self[name] = shapes


def tensorrt(version: str, plan: bytes | None = b"plan", complaint: str = "", *, starts: bool = True) -> Any:
    """Return a module like `tensorrt` of that version, whose builder makes `plan` and logs `complaint`."""
    module: Any = types.ModuleType("tensorrt")
    module.__version__ = version
    module.ILogger = ILogger
    module.flags_given = []
    # The values in the bindings 10.13.2.6, 10.16.1.11, 11.0.0.114 and 11.4.0.106.
    flags = {"STRONGLY_TYPED": 1 if version.startswith("10.") else 0}
    module.NetworkDefinitionCreationFlag = type("Flags", (), flags)

    class Builder:
        def __init__(self, log: Any) -> None:
            self.log = log
            if not starts:
                log.log(ILogger.Severity.ERROR, complaint)
                raise TypeError("pybind11::init(): factory function returned nullptr")

        def create_network(self, given: int) -> object:
            module.flags_given.append(given)
            return object()

        def create_builder_config(self) -> Config:
            return Config()

        def create_optimization_profile(self) -> Profile:
            return Profile()

        def build_serialized_network(self, network: object, config: Config) -> bytes | None:
            self.log.log(ILogger.Severity.INFO, "building")
            if complaint:
                self.log.log(ILogger.Severity.ERROR, complaint)
            return plan

    class OnnxParser:
        num_errors = 0

        def __init__(self, network: object, log: Any) -> None:
            pass

        def parse_from_file(self, path: str) -> bool:
            return True

    module.Builder, module.OnnxParser = Builder, OnnxParser
    return module
