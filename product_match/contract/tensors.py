"""The tensors that travel between client and models."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cached_property

import numpy as np


class Dtype(enum.Enum):
    """A tensor's element type, by the name that Triton's protocol uses for it."""

    BYTES = "BYTES"
    UINT8 = "UINT8"
    INT32 = "INT32"
    FP32 = "FP32"
    BOOL = "BOOL"

    @property
    def config_name(self) -> str:
        """The name in `config.pbtxt`, where BYTES is spelled TYPE_STRING."""
        return "TYPE_STRING" if self is Dtype.BYTES else f"TYPE_{self.value}"

    @cached_property
    def numpy(self) -> np.dtype[np.generic]:
        """The numpy dtype; BYTES are object arrays of `bytes`, never `np.bytes_`, which strips trailing zeros."""
        return _NUMPY[self]


_NUMPY: dict[Dtype, np.dtype[np.generic]] = {
    Dtype.BYTES: np.dtype(np.object_),
    Dtype.UINT8: np.dtype(np.uint8),
    Dtype.INT32: np.dtype(np.int32),
    Dtype.FP32: np.dtype(np.float32),
    Dtype.BOOL: np.dtype(np.bool_),
}


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """One tensor of a model: its name, element type and shape without the batch axis.

    Attributes:
        name: lower_snake_case, the same in every model and ensemble.
        dtype: Element type.
        dims: Shape without the batch axis; -1 where it varies from request to request.
        optional: True if a request may leave the input out.
        meaning: One line for the README.
    """

    name: str
    dtype: Dtype
    dims: tuple[int, ...]
    meaning: str
    optional: bool = False

    def __post_init__(self) -> None:
        """Check the dims."""
        if not self.dims or any(dim == 0 or dim < -1 for dim in self.dims):
            raise ValueError(f"tensor {self.name}: dims must be positive or -1 and not empty, got {self.dims}")

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Say whether `shape`, batch axis included, fits this tensor."""
        if shape[1:] == self.dims:
            return True
        return len(shape) == len(self.dims) + 1 and all(
            want in (-1, got) for want, got in zip(self.dims, shape[1:], strict=True)
        )
