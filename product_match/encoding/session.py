"""One tower of the encoder as an ONNX Runtime session."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from product_match.contract.errors import ConfigError
from product_match.contract.models import ModelSpec

PHOTOS_PER_RUN: Final = 8
"""More photos in one run cost more CPU for each, as what lies between two layers no longer fits the caches."""


class EncoderSession:
    """Runs one ONNX file whose inputs and output are those of a `ModelSpec`."""

    def __init__(self, path: Path, spec: ModelSpec, threads: int = 0) -> None:
        """Load the file.

        Args:
            path: The ONNX file.
            spec: The encoder model that it must fit.
            threads: Threads of one run; 0 takes ONNX Runtime's default, one a core.

        Raises:
            ConfigError: The file is missing, damaged, or has other inputs or outputs.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Threads that spin between two runs take the cores from decoding and retrieval.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's errors share no base but Exception
            raise ConfigError(
                f"{path} cannot be loaded by ONNX Runtime ({error}); build the encoder directory again"
            ) from error
        want = ({tensor.name for tensor in spec.inputs}, {tensor.name for tensor in spec.outputs})
        got = (
            {node.name for node in self._session.get_inputs()},
            {node.name for node in self._session.get_outputs()},
        )
        if want != got:
            raise ConfigError(
                f"{path}: expected inputs and outputs {want}, got {got}; build the encoder directory again"
            )
        self._output = spec.outputs[0].name
        self._rows_per_run = PHOTOS_PER_RUN if len(spec.inputs[0].dims) == len(("height", "width", "rgb")) else None

    def encode(self, inputs: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        """Encode one batch.

        Args:
            inputs: The model's input tensors, batch axis first.

        Returns:
            [n, D] float32, each row's L2 norm 1.
        """
        rows = len(next(iter(inputs.values())))
        if self._rows_per_run is None or rows <= self._rows_per_run:
            return self._run(dict(inputs))
        runs = -(-rows // self._rows_per_run)
        parts = {name: np.array_split(tensor, runs) for name, tensor in inputs.items()}
        return np.concatenate([self._run({name: part[run] for name, part in parts.items()}) for run in range(runs)])

    def _run(self, inputs: dict[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        (embeds,) = self._session.run([self._output], inputs)
        result: NDArray[np.float32] = embeds
        return result
