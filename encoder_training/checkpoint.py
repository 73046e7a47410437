"""Writes a trained encoder as a VisionTextDualEncoderModel folder that transformers and the builder read.

Three things make it small and exact:

* Batch normalisation is folded into the convolutions before they are rounded to FP16, so what is rounded is what is
  multiplied. The layers stay, and do nothing but add.
* Word embeddings are whole numbers of one byte. BERT normalises the sum of word, position and type embeddings at
  once, so a factor common to all three changes nothing: it goes into the other two, and none has to be stored.
* MiniLM's pooler is unused, and left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import VisionTextDualEncoderConfig, VisionTextDualEncoderModel

from .prompts import LONGEST
from .towers import BATCH_NORM_EPSILON, MEAN, STD, open_gates

WORD_EMBEDDINGS: Final = "text_model.embeddings.word_embeddings.weight"
OTHER_EMBEDDINGS: Final = (
    "text_model.embeddings.position_embeddings.weight",
    "text_model.embeddings.token_type_embeddings.weight",
)
LARGEST_BYTE: Final = 127
CLIPPED: Final = np.linspace(0.3, 1.0, 29)
"""Shares of the largest word embedding that are tried as the largest number; the rest is cut off."""


def write_checkpoint(
    folder: Path, image_tower: Any, word_tower: Any, visual_projection: Tensor, tokenizer: Path, image_size: int
) -> None:
    """Write config, weights, tokenizer and image processor.

    Args:
        folder: Made where it is missing; files of the same names are overwritten.
        image_tower: Without gates; changed: its batch normalisation is folded.
        word_tower: A BertModel without pooler; changed: its positions are cut to `LONGEST`.
        visual_projection: [D, f]; words take the first dimensions, as many as they have.
        tokenizer: The word tower's tokenizer.json.
        image_size: Side of the photos in pixels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fold_batch_normalisation(image_tower)
    open_gates(image_tower)
    model = _assembled(image_tower, word_tower, visual_projection)
    save_file(stored_weights(model.state_dict()), str(folder / "model.safetensors"), metadata={"format": "pt"})
    model.config.architectures = [type(model).__name__]
    (folder / "config.json").write_text(model.config.to_json_string(), encoding="utf-8")
    (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    _write_json(folder / "tokenizer_config.json", _tokenizer_config())
    _write_json(folder / "preprocessor_config.json", processor_config(image_size))


def processor_config(image_size: int) -> dict[str, Any]:
    """Return the image processor: shortest side to `image_size`, the centre square, EfficientNet-Lite's scaling."""
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": image_size},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": image_size, "width": image_size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [MEAN] * 3,
        "image_std": [STD] * 3,
    }


def fold_batch_normalisation(model: nn.Module) -> None:
    """Multiply each convolution's weights by what the batch normalisation after it would, and keep its addition."""
    convolution: nn.Conv2d | None = None
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                convolution = module
            elif isinstance(module, nn.BatchNorm2d):
                if convolution is None or convolution.out_channels != module.num_features:
                    raise ValueError("a batch normalisation does not follow its convolution")
                factor = module.weight / torch.sqrt(module.running_var + module.eps)
                convolution.weight.mul_(factor[:, None, None, None])
                module.bias.sub_(module.running_mean * factor)
                module.weight.fill_(1.0)
                module.running_mean.zero_()
                module.running_var.fill_(1.0 - BATCH_NORM_EPSILON)
                convolution = None


def stored_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Round weights to what is stored: word embeddings to bytes, the rest to FP16, and statistics as they are."""
    stored = {}
    step = byte_step(weights[WORD_EMBEDDINGS])
    for name, value in weights.items():
        if name.startswith("text_model.pooler.") or name.endswith("position_ids"):
            continue
        if name == WORD_EMBEDDINGS:
            stored[name] = torch.clamp(torch.round(value / step), -LARGEST_BYTE, LARGEST_BYTE).to(torch.int8)
        elif name in OTHER_EMBEDDINGS:
            stored[name] = (value / step).half()
        elif value.is_floating_point() and value.ndim > 0 and not name.endswith("running_var"):
            stored[name] = value.half()
        else:
            stored[name] = value.clone()
    return {name: value.contiguous() for name, value in stored.items()}


def byte_step(values: Tensor) -> float:
    """Return the step of whole numbers from -127 to 127 that leaves the least squared error."""
    largest = float(values.abs().max())
    steps = [share * largest / LARGEST_BYTE for share in CLIPPED]

    def error(step: float) -> float:
        rounded = torch.clamp(torch.round(values / step), -LARGEST_BYTE, LARGEST_BYTE) * step
        return float((rounded - values).square().mean())

    return float(min(steps, key=error))


def _assembled(image_tower: Any, word_tower: Any, visual_projection: Tensor) -> VisionTextDualEncoderModel:
    dimensions, word_dim = len(visual_projection), int(word_tower.config.hidden_size)
    positions = word_tower.embeddings.position_embeddings
    longest = min(LONGEST, positions.num_embeddings)
    text_config = word_tower.config.to_dict() | {"max_position_embeddings": longest}
    vision_config = image_tower.config.to_dict() | {"hidden_size": image_tower.config.hidden_dim}
    config = VisionTextDualEncoderConfig(
        vision_config=vision_config, text_config=text_config, projection_dim=dimensions, text_pooling="mean"
    )
    model = VisionTextDualEncoderModel(config)
    model.vision_model.load_state_dict(image_tower.state_dict())
    words = {name: value for name, value in word_tower.state_dict().items() if not name.endswith("position_ids")}
    words["embeddings.position_embeddings.weight"] = positions.weight[:longest]
    missing = model.text_model.load_state_dict(words, strict=False).missing_keys
    if any(not name.startswith("pooler.") and not name.endswith("_ids") for name in missing):
        raise ValueError(f"the word tower lacks {missing}")
    with torch.no_grad():
        model.visual_projection.weight.copy_(visual_projection)
        model.text_projection.weight.copy_(torch.eye(dimensions, word_dim))
    return model


def _tokenizer_config() -> dict[str, Any]:
    return {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": True,
        "model_max_length": LONGEST,
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
        "pad_token": "[PAD]",
        "sep_token": "[SEP]",
        "unk_token": "[UNK]",
    }


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
