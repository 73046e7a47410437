"""Plans of TensorRT: what their names say, and whether they fit the machine that would run them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ensemble_builder.report import sha256_of
from product_match.contract.encoder import IMAGE_ONNX_FILE, TEXT_ONNX_FILE, EncoderSpec
from product_match.contract.errors import EngineError
from product_match.contract.models import IMAGE_ENCODER, TEXT_ENCODER

ONNX_FILES: Final[Mapping[str, str]] = {IMAGE_ENCODER: IMAGE_ONNX_FILE, TEXT_ENCODER: TEXT_ONNX_FILE}
_PLAN_NAME: Final = re.compile(
    r"(?P<model>\w+_encoder)_trt(?P<version>[\d.]+)_sm(?P<capability>\d+)_(?P<precision>\w+)_b(?P<batch>\d+)_"
    r"(?P<digest>[0-9a-f]{12})\.plan"
)


@dataclass(frozen=True, kw_only=True)
class PlanName:
    """What a plan depends on; its file is named after it.

    Attributes:
        model: "image_encoder" or "text_encoder".
        version: TensorRT's version.
        capability: The GPU's compute capability, such as "89".
        precision: As in the encoder's declaration.
        batch: Greatest batch size.
        digest: First 12 hex digits of the SHA-256 of the ONNX file.
    """

    model: str
    version: str
    capability: str
    precision: str
    batch: int
    digest: str

    @property
    def file(self) -> str:
        """The file's name."""
        return f"{self.model}_trt{self.version}_sm{self.capability}_{self.precision}_b{self.batch}_{self.digest}.plan"


def parse_plan_name(file: str) -> PlanName:
    """Read the name of a plan.

    Raises:
        EngineError: The name is of another pattern.
    """
    match = _PLAN_NAME.fullmatch(file)
    if match is None:
        raise EngineError(
            f"{file} is not the name of a plan of this project; build plans with `ensemble-builder engines`"
        )
    fields: dict[str, Any] = match.groupdict()
    return PlanName(**{**fields, "batch": int(fields["batch"])})


def plan_name(
    spec: EncoderSpec, directory: Path, model: str, *, version: str, capability: str, batch: int
) -> PlanName:
    """Return the name that the plan of `model` must have here."""
    return PlanName(
        model=model,
        version=version,
        capability=capability,
        precision=spec.precision,
        batch=batch,
        digest=sha256_of(directory / ONNX_FILES[model])[:12],
    )


def check_plan(spec: EncoderSpec, directory: Path, path: Path, *, version: str, capability: str) -> None:
    """Check that a plan fits the TensorRT and the GPU that would run it, and the encoder.

    Raises:
        EngineError: One sentence that says what differs.
    """
    found = parse_plan_name(path.name)
    wanted = plan_name(spec, directory, found.model, version=version, capability=capability, batch=found.batch)
    differences = [
        f"{what} {ours}, here is {here}"
        for what, ours, here in (
            ("TensorRT", found.version, wanted.version),
            ("compute capability", found.capability, wanted.capability),
            ("precision", found.precision, wanted.precision),
            ("ONNX file", found.digest, wanted.digest),
        )
        if ours != here
    ]
    if differences:
        raise EngineError(
            f"{path.name} was built for {' and '.join(differences)}; build it again with `ensemble-builder engines`"
        )
    if not path.is_file():
        raise EngineError(f"{path} is missing; build it with `ensemble-builder engines`")


def gpu_capability() -> str:
    """Return the compute capability of the first GPU, such as "89".

    Raises:
        EngineError: There is no GPU, or its driver does not answer.
    """
    command = ["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout.split()[0].replace(".", "")
    except (OSError, subprocess.SubprocessError, IndexError) as error:
        raise EngineError(
            f"no GPU was found (`nvidia-smi` said: {error}); engines are built on the GPU that serves them, so "
            "start the container with `--gpus all`"
        ) from error
