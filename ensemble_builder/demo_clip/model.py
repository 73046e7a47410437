"""The shape of the demonstration CLIP, its starting weights, and its files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from torch import nn
from transformers import CLIPConfig, CLIPModel

from .tokenizer import END_TOKEN, END_TOKEN_ID, START_TOKEN, START_TOKEN_ID, VOCABULARY_SIZE, build_tokenizer
from .tokenizer import text_tokenizer as make_text_tokenizer

IMAGE_SIZE: Final = 120
PATCH_SIZE: Final = 12
MAX_TOKENS: Final = 77
EMBEDDING_SIZE: Final = 256
# Mean and deviation of openai/CLIP's preprocessing, RGB, pixels scaled to 0..1.
IMAGE_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD: Final = (0.26862954, 0.26130258, 0.27577711)


def demo_config() -> CLIPConfig:
    """Return the shape that is shipped: about 8 million parameters.

    Returns:
        A `CLIPConfig` for 120-pixel images in 12-pixel patches and texts of up to 77 tokens.
    """
    return CLIPConfig(
        text_config={
            "vocab_size": VOCABULARY_SIZE,
            "hidden_size": 192,
            "intermediate_size": 768,
            "num_hidden_layers": 3,
            "num_attention_heads": 3,
            "max_position_embeddings": MAX_TOKENS,
            "hidden_act": "gelu",
            "projection_dim": EMBEDDING_SIZE,
            "bos_token_id": START_TOKEN_ID,
            "eos_token_id": END_TOKEN_ID,
            "pad_token_id": END_TOKEN_ID,
        },
        vision_config={
            "hidden_size": 256,
            "intermediate_size": 1024,
            "num_hidden_layers": 8,
            "num_attention_heads": 4,
            "image_size": IMAGE_SIZE,
            "patch_size": PATCH_SIZE,
            "hidden_act": "gelu",
            "projection_dim": EMBEDDING_SIZE,
        },
        projection_dim=EMBEDDING_SIZE,
    )


def new_model(seed: int, config: CLIPConfig | None = None) -> CLIPModel:
    """Make a model with starting weights that suit little data.

    The vision tower starts from "mimetic" attention (Trockman and Kolter, "Mimetic Initialization of Self-Attention
    Layers", 2023): query times key near a multiple of the identity, value times output near a negative one, and
    sine-cosine position embeddings.

    Args:
        seed: Seed of the random weights.
        config: Another shape than the shipped one.

    Returns:
        The model in float32, in training mode.
    """
    torch.manual_seed(seed)
    model = CLIPModel(config or demo_config())
    vision = model.vision_model
    grid = vision.embeddings.image_size // vision.embeddings.patch_size
    with torch.no_grad():
        positions = _sine_cosine_positions(grid, vision.embeddings.embed_dim)
        vision.embeddings.position_embedding.weight[1:] = 0.5 * positions
        vision.embeddings.position_embedding.weight[0] = 0.0
        for layer in vision.encoder.layers:
            _start_mimetic(layer.self_attn)
    return model.train()


def save_checkpoint(model: CLIPModel, merges: Sequence[tuple[str, str]], folder: Path) -> None:
    """Write the model in FP16 with its tokenizer and preprocessing, in Hugging Face's layout.

    Args:
        model: The model to write; it is left as it is.
        merges: The merges of its tokenizer.
        folder: Where to write; made if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copy = CLIPModel(model.config)
    copy.load_state_dict(model.state_dict())
    copy.half().eval().save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    vocabulary, kept = build_tokenizer(merges)
    make_text_tokenizer(vocabulary, kept).save(str(folder / "tokenizer.json"))
    _write_json(folder / "vocab.json", vocabulary, indent=None)
    lines = ["#version: 0.2", *(f"{left} {right}" for left, right in kept)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": model.config.text_config.max_position_embeddings,
            "bos_token": START_TOKEN,
            "eos_token": END_TOKEN,
            "pad_token": END_TOKEN,
            "unk_token": END_TOKEN,
        },
    )
    _write_json(folder / "preprocessor_config.json", preprocessing(model.config.vision_config.image_size))


def preprocessing(image_size: int) -> dict[str, object]:
    """Return the contents of `preprocessor_config.json`.

    Args:
        image_size: Side of the square that the model takes, in pixels.

    Returns:
        Shortest side to `image_size`, centre crop, CLIP's mean and deviation.
    """
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
        "image_mean": list(IMAGE_MEAN),
        "image_std": list(IMAGE_STD),
    }


def _write_json(path: Path, value: object, indent: int | None = 2) -> None:
    path.write_text(json.dumps(value, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")


def _sine_cosine_positions(grid: int, width: int) -> torch.Tensor:
    quarter = width // 4
    frequencies = 1.0 / 10000 ** (torch.arange(quarter) / quarter)
    angles = torch.arange(grid)[:, None] * frequencies[None]  # (grid, quarter)
    waves = torch.cat([angles.sin(), angles.cos()], dim=1)  # (grid, width / 2)
    rows = waves[:, None].expand(grid, grid, -1)
    columns = waves[None].expand(grid, grid, -1)
    return torch.cat([rows, columns], dim=2).reshape(grid * grid, width)


def _start_mimetic(attention: nn.Module) -> None:
    width, heads = attention.embed_dim, attention.num_heads
    size = width // heads
    identity = torch.eye(width)
    for head in range(heads):
        rows = slice(head * size, (head + 1) * size)
        left, scale, right = torch.linalg.svd(0.7 * torch.randn(width, width) / width**0.5 + 0.7 * identity)
        root = scale[:size].sqrt()
        attention.q_proj.weight[rows] = (left[:, :size] * root).T
        attention.k_proj.weight[rows] = (right[:size].T * root).T
    left, scale, right = torch.linalg.svd(0.4 * torch.randn(width, width) / width**0.5 - 0.4 * identity)
    attention.v_proj.weight.copy_(scale.sqrt()[:, None] * right)
    attention.out_proj.weight.copy_(left * scale.sqrt())
