"""ONNX to TensorRT plans: built on the GPU that serves them, named after all that they depend on.

Imports neither torch nor onnx, so that it runs inside the Triton image. TensorRT for RTX, which builds without a GPU
for a stated compute capability, takes the same path; the tests prove with it that every graph can be built.
"""

from __future__ import annotations

import functools
import importlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ensemble_builder.plans import ONNX_FILES, check_plan, gpu_capability, plan_name
from ensemble_builder.report import files_of, read_report
from ensemble_builder.repository import REPOSITORY_DIRECTORY, assemble_production
from product_match.contract.encoder import BUILD_FILE, EncoderSpec, load_encoder
from product_match.contract.errors import EngineError
from product_match.contract.limits import MAX_BATCH_SIZE
from product_match.contract.models import composing_model
from product_match.host.files import replace_file
from product_match.host.json_files import write_json

logger = logging.getLogger(__name__)

TENSORRT: Final = ("tensorrt", "tensorrt_bindings")
TENSORRT_RTX: Final = ("tensorrt_rtx", "tensorrt_rtx_bindings")
LEAST_VERSION: Final = (10, 13)
TIMING_CACHE_FILE: Final = "timing.cache"


def load_tensorrt(names: tuple[str, ...] = TENSORRT) -> Any:
    """Import TensorRT's Python bindings.

    Raises:
        EngineError: They are not installed, or too old.
    """
    reasons = []
    for name in names:
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            reasons.append(str(error))
            continue
        if names is TENSORRT and tuple(int(part) for part in module.__version__.split(".")[:2]) < LEAST_VERSION:
            raise EngineError(
                f"TensorRT {module.__version__} is too old, {'.'.join(map(str, LEAST_VERSION))} or later is "
                "needed for strongly typed graphs; use a newer Triton image"
            )
        return module
    raise EngineError(
        f"TensorRT's Python module cannot be imported here ({'; '.join(reasons)}); build engines inside the Triton "
        "image, where `ensemble-builder engines` finds it"
    )


USUAL_BATCH: Final = 32
"""Rows that an engine is made fastest for: those of a server under load, where it counts."""


def profile_shapes(spec: EncoderSpec, model: str, max_batch_size: int) -> dict[str, tuple[tuple[int, ...], ...]]:
    """Return the least, the usual and the greatest shape of each input."""
    usual = min(USUAL_BATCH, max_batch_size)
    length = spec.text_buckets[len(spec.text_buckets) // 2]
    shapes: dict[str, tuple[tuple[int, ...], ...]] = {}
    for tensor in composing_model(spec, model).inputs:
        ends = (spec.text_buckets[0], length, spec.context_length)
        shapes[tensor.name] = tuple(
            (batch, *(end if dim == -1 else dim for dim in tensor.dims))
            for batch, end in zip((1, usual, max_batch_size), ends, strict=True)
        )
    return shapes


def build_plan(
    trt: Any,
    path: Path,
    shapes: Mapping[str, tuple[tuple[int, ...], ...]],
    *,
    timing_cache: Path | None = None,
    capability: str | None = None,
) -> bytes:
    """Build one engine.

    Args:
        trt: The module of TensorRT or of TensorRT for RTX.
        path: A strongly typed ONNX file: each tensor has the type that it has there.
        shapes: Least, usual and greatest shape of each input.
        timing_cache: Kept here from build to build, which makes the next one faster and its choices the same.
        capability: TensorRT for RTX only: the compute capability to build for; this machine's by default.

    Raises:
        EngineError: The graph cannot be parsed or built; the message holds TensorRT's own.
    """
    log = _log(trt)
    log.problems.clear()
    try:
        builder = trt.Builder(log)
    except TypeError as error:  # what the bindings make of a builder that the library refuses
        reason = "; ".join(log.problems[-3:]) or str(error)
        raise EngineError(
            f"TensorRT {trt.__version__} cannot start here: {reason}; its driver must be as new as it asks for"
        ) from error
    # Asked for in TensorRT 10; from 11 on every network is, and the flag, of another number there, is ignored.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(path)):
        found = "; ".join(str(parser.get_error(place)) for place in range(parser.num_errors))
        raise EngineError(f"TensorRT {trt.__version__} cannot parse {path.name}: {found:.600}")
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    for name, (least, usual, greatest) in shapes.items():
        profile.set_shape(name, least, usual, greatest)
    config.add_optimization_profile(profile)
    if capability is not None:
        _state_capability(trt, config, capability)
    cache = _use_timing_cache(config, timing_cache)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        reason = "; ".join(log.problems[-3:]) or "no reason given"
        raise EngineError(f"TensorRT {trt.__version__} cannot build {path.name}: {reason}")
    if timing_cache is not None and cache is not None:
        timing_cache.write_bytes(bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


@functools.cache
def _log(trt: Any) -> Any:
    """Return the logger of the process: TensorRT keeps the first one that it is given for good."""

    class Log(trt.ILogger):  # type: ignore[misc]
        """Hands TensorRT's messages to logging, and keeps what went wrong."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.problems: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in {trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR}:
                self.problems.append(message)
                logger.warning("TensorRT: %s", message)
            else:
                logger.debug("TensorRT: %s", message)

    return Log()


def _state_capability(trt: Any, config: Any, capability: str) -> None:
    known = {name for name in dir(trt.ComputeCapability) if name.startswith("SM")}
    if f"SM{capability}" not in known:
        raise EngineError(
            f"TensorRT for RTX {trt.__version__} does not build for compute capability {capability}; it knows "
            f"{', '.join(sorted(known))}"
        )
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{capability}"), 0)


def _use_timing_cache(config: Any, path: Path | None) -> Any:
    if path is None:
        return None
    cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
    if not config.set_timing_cache(cache, False):
        logger.warning("the timing cache %s is of another TensorRT or GPU; it is made anew", path)
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache


def build_plans(
    spec: EncoderSpec,
    directory: Path,
    trt: Any,
    capability: str,
    max_batch_size: int = MAX_BATCH_SIZE,
    *,
    state_capability: bool = False,
) -> dict[str, Path]:
    """Build the plans of an encoder directory that are not there yet.

    Args:
        spec: The declaration of `directory`.
        directory: Holds the ONNX files; plans and the timing cache go there too.
        trt: TensorRT's module.
        capability: Of the GPU.
        max_batch_size: Greatest batch that Triton will form.
        state_capability: TensorRT for RTX without a GPU: build for `capability`.

    Returns:
        The plan of each model.

    Raises:
        EngineError: A plan cannot be built.
    """
    plans = {}
    for model in ONNX_FILES:
        name = plan_name(spec, directory, model, version=trt.__version__, capability=capability, batch=max_batch_size)
        path = directory / name.file
        if not path.is_file():
            logger.info("building %s", name.file)
            plan = build_plan(
                trt,
                directory / ONNX_FILES[model],
                profile_shapes(spec, model, max_batch_size),
                timing_cache=None if state_capability else directory / TIMING_CACHE_FILE,
                capability=capability if state_capability else None,
            )
            replace_file(path, plan)
        plans[model] = path
    return plans


def this_machine() -> tuple[Any, str]:
    """Return TensorRT's module, and the compute capability of the GPU.

    Raises:
        EngineError: One of them is not here.
    """
    return load_tensorrt(), gpu_capability()


def make_engines(directory: Path) -> dict[str, Path]:
    """Build the engines of an encoder directory on this machine's GPU, and the model repository that uses them.

    Raises:
        EngineError: No TensorRT, no GPU, or a graph cannot be built.
        ConfigError: `directory` is not whole.
    """
    spec, batch = load_encoder(directory), _max_batch_size(directory)
    trt, capability = this_machine()
    started = time.perf_counter()
    plans = build_plans(spec, directory, trt, capability, batch)
    assemble_production(spec, directory, plans, batch)
    _record(directory, trt, capability, time.perf_counter() - started)
    return plans


def _record(directory: Path, trt: Any, capability: str, seconds: float) -> None:
    """Put the engines into build.json."""
    report = read_report(directory)
    report["engines"] = {"tensorrt": trt.__version__, "capability": capability}
    report["timings_s"] = {**report["timings_s"], "engines": round(seconds, 3)}
    report["files"] = files_of(directory)
    write_json(directory / BUILD_FILE, report)


def check_directory(directory: Path) -> dict[str, Path]:
    """Check that the engines in the model repository of an encoder directory fit this machine.

    Raises:
        EngineError: They are missing, or were built for something else.
    """
    spec = load_encoder(directory)
    trt, capability = this_machine()
    plans = {}
    for model in ONNX_FILES:
        found = sorted((directory / REPOSITORY_DIRECTORY / model / "1").glob("*.plan"))
        if len(found) != 1:
            raise EngineError(
                f"{directory} has no engine of {model} in its model repository; build it with "
                "`ensemble-builder engines`"
            )
        check_plan(spec, directory, found[0], version=trt.__version__, capability=capability)
        plans[model] = found[0]
    return plans


def _max_batch_size(directory: Path) -> int:
    report = read_report(directory)
    # Directories of the first version have their options beside everything else.
    options = report.get("options", report)
    if options.get("target") != "tensorrt":
        raise EngineError(
            f"{directory} was built for {options.get('target', 'another target')}; engines are made of a directory "
            "from `ensemble-builder build --target tensorrt`"
        )
    return int(options["max_batch_size"])
