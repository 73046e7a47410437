"""A checkpoint's model in memory, with weights that are all there, all used, and all numbers."""

from __future__ import annotations

import pickle
from collections.abc import Iterable
from typing import Any

import torch

from ensemble_builder.checkpoint import PICKLED_FILE, Checkpoint
from ensemble_builder.towers import ATTENTION
from product_match.contract.errors import CheckpointError


def check_config(checkpoint: Checkpoint) -> None:
    """Let transformers read config.json, which also says what it expects in each field.

    Raises:
        CheckpointError: It refuses a field.
    """
    import transformers

    try:
        transformers.AutoConfig.from_pretrained(checkpoint.directory, local_files_only=True)
    except Exception as error:  # its validation raises errors of several packages
        raise CheckpointError(
            f"checkpoint {checkpoint.directory}: transformers does not take config.json ({one_line(error)}); it "
            "and the weights must belong together"
        ) from error


def load_model(checkpoint: Checkpoint, unused: tuple[str, ...] = ()) -> Any:
    """Load the model in FP32, on the CPU, for inference.

    Args:
        checkpoint: What to load.
        unused: How the names begin of weights that may be missing.

    Raises:
        CheckpointError: Weights and config do not belong together, or a weight is not a number.
    """
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        model, info = transformers.AutoModel.from_pretrained(
            checkpoint.directory,
            dtype=torch.float32,
            attn_implementation=ATTENTION,
            local_files_only=True,
            use_safetensors=checkpoint.has_safetensors,
            weights_only=True,
            output_loading_info=True,
        )
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"checkpoint {checkpoint.directory}: {PICKLED_FILE} holds more than tensors, which may be code and is "
            "not loaded; if you trust it, load it yourself and save it with `model.save_pretrained(...)`"
        ) from error
    except Exception as error:  # transformers, safetensors and torch share no base below Exception
        raise CheckpointError(
            f"checkpoint {checkpoint.directory}: transformers cannot load it ({one_line(error)}); config.json and "
            "the weights must belong together"
        ) from error
    check_keys(checkpoint, info["missing_keys"], info["unexpected_keys"], unused)
    check_numbers(checkpoint, model)
    return model.eval()


def check_keys(
    checkpoint: Checkpoint, missing: Iterable[str], unexpected: Iterable[str], unused: tuple[str, ...]
) -> None:
    """Compare the weights that are there with those of the architecture.

    Raises:
        CheckpointError: There are fewer, or more.
    """
    absent = sorted(key for key in missing if not key.endswith("position_ids") and not key.startswith(unused))
    if absent:
        raise CheckpointError(
            f"checkpoint {checkpoint.directory}: the weights lack {len(absent)} tensors of the architecture, "
            f"such as {', '.join(absent[:3])}; download them again"
        )
    more = sorted(key for key in unexpected if not key.endswith("position_ids") and not key.startswith(unused))
    if more:
        raise CheckpointError(
            f"checkpoint {checkpoint.directory}: the weights hold {len(more)} tensors that the architecture in "
            f"config.json has no place for, such as {', '.join(more[:3])}; config.json is of another model, or says "
            "fewer layers"
        )


def check_numbers(checkpoint: Checkpoint, model: Any) -> None:
    """Look at each weight.

    Raises:
        CheckpointError: One is NaN or infinite.
    """
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point() or bool(torch.isfinite(tensor).all()):
            continue
        bad = ~torch.isfinite(tensor)
        where = ""
        if tensor.ndim > 1:
            rows = bad.flatten(1).any(dim=1).nonzero()[:, 0]
            where = f" in {len(rows)} of its {len(tensor):,} rows, the first is row {int(rows[0])}"
        raise CheckpointError(
            f"checkpoint {checkpoint.directory}: {name} has {int(bad.sum()):,} values that are not finite{where}; "
            "the weights are damaged, or training diverged: take an earlier checkpoint"
        )


def one_line(error: BaseException) -> str:
    """Return the beginning of an error's words in one line, or its kind where it has none."""
    words = " ".join(str(error).split())
    return f"{words:.300}" if words else type(error).__name__
