"""One tower of the encoder as ONNX Runtime sessions."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from product_match.contract.errors import ConfigError
from product_match.contract.models import ModelSpec

Inputs = Mapping[str, NDArray[np.generic]]

PHOTOS_PER_RUN: Final = 8
"""More photos in one run cost more CPU for each, as what lies between two layers no longer fits the caches."""

WORDS_PER_RUN: Final = 16
"""Fewer words in each of two parallel runs cost more than the second core saves."""


class EncoderSession:
    """Runs one ONNX file whose inputs and output are those of a `ModelSpec`.

    Rows are shared among runs of one thread each, side by side: threads that share one run wait for each other at
    each layer, which costs a fifth to a third more CPU. Only photos too few for that are one run of all threads.
    """

    def __init__(self, path: Path, spec: ModelSpec, threads: int = 0) -> None:
        """Load the file.

        Args:
            path: The ONNX file.
            spec: The encoder model that it must fit.
            threads: Threads that encode; 0 takes one for each core.

        Raises:
            ConfigError: The file is missing, damaged, or has other inputs or outputs.
        """
        self._threads = threads or len(os.sched_getaffinity(0))
        self._photos = len(spec.inputs[0].dims) == len(("height", "width", "rgb"))
        self._output = spec.outputs[0].name
        self._single = _load(path, spec, 1)
        self._shared = _load(path, spec, self._threads) if self._photos and self._threads > 1 else self._single
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="encode") if self._threads > 1 else None

    def encode(self, inputs: Inputs) -> NDArray[np.float32]:
        """Encode one batch.

        Args:
            inputs: The model's input tensors, batch axis first.

        Returns:
            [n, D] float32, each row's L2 norm 1.
        """
        return self.encode_groups([inputs])[0]

    def encode_groups(self, groups: Sequence[Inputs]) -> list[NDArray[np.float32]]:
        """Encode several batches side by side, such as words of different padded lengths.

        Args:
            groups: For each batch the model's input tensors, batch axis first.

        Returns:
            What `encode` returns for each batch.
        """
        if len(groups) == 1 and self._photos and _rows(groups[0]) < self._threads:
            return [self._run(self._shared, groups[0])]
        parts = [self._parts(group) for group in groups]
        together = [part for group in parts for part in group]
        found = iter(self._side_by_side(together))
        runs = [[next(found) for _ in group] for group in parts]
        return [group[0] if len(group) == 1 else np.concatenate(group) for group in runs]

    def _side_by_side(self, parts: Sequence[Inputs]) -> list[NDArray[np.float32]]:
        if self._pool is None or len(parts) == 1:
            return [self._run(self._single, part) for part in parts]
        # The longest run first, so that no thread begins it when the others are about to end.
        longest_first = sorted(range(len(parts)), key=lambda place: -_values(parts[place]))
        runs = {place: self._pool.submit(self._run, self._single, parts[place]) for place in longest_first}
        return [runs[place].result() for place in range(len(parts))]

    def _parts(self, inputs: Inputs) -> list[Inputs]:
        runs = self._runs(_rows(inputs))
        if runs == 1:
            return [inputs]
        split = {name: np.array_split(tensor, runs) for name, tensor in inputs.items()}
        return [{name: tensors[run] for name, tensors in split.items()} for run in range(runs)]

    def _runs(self, rows: int) -> int:
        if self._photos:
            # As many runs for each thread, so that none waits for the last.
            rounds = -(-rows // (PHOTOS_PER_RUN * self._threads))
            return min(rows, rounds * self._threads)
        return min(self._threads, max(1, rows // WORDS_PER_RUN))

    def _run(self, session: onnxruntime.InferenceSession, inputs: Inputs) -> NDArray[np.float32]:
        (embeds,) = session.run([self._output], dict(inputs))
        result: NDArray[np.float32] = embeds
        return result


def _rows(inputs: Inputs) -> int:
    return len(next(iter(inputs.values())))


def _values(inputs: Inputs) -> int:
    return next(iter(inputs.values())).size


def _load(path: Path, spec: ModelSpec, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that spin between two runs take the cores from decoding and retrieval.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no base but Exception
        raise ConfigError(
            f"{path} cannot be loaded by ONNX Runtime ({error}); build the encoder directory again"
        ) from error
    want = ({tensor.name for tensor in spec.inputs}, {tensor.name for tensor in spec.outputs})
    got = ({node.name for node in session.get_inputs()}, {node.name for node in session.get_outputs()})
    if want != got:
        raise ConfigError(f"{path}: expected inputs and outputs {want}, got {got}; build the encoder directory again")
    return session
