"""A tiny demonstration CLIP and a few generated photos to train it on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image
from transformers import CLIPConfig

from ensemble_builder.demo_clip.learning import STUDENT_SCHEDULE
from ensemble_builder.demo_clip.loop import Schedule
from ensemble_builder.demo_clip.model import demo_config

COLOURS = {"T-Shirt": (200, 30, 40), "Shoes": (25, 24, 26)}


def labelled_garments(root: Path) -> Path:
    """Return a labelled folder of 24 garments whose label shows in their colour."""
    (root / "images").mkdir(parents=True)
    random = np.random.default_rng(0)
    lines = ["image,label"]
    for number in range(24):
        label = ("T-Shirt", "Shoes")[number % 2]
        pixels = random.integers(150, 200, (48, 48, 3), dtype=np.uint8)
        pixels[8:40, 12:36] = COLOURS[label]
        Image.fromarray(pixels).save(root / "images" / f"photo{number}.jpg")
        lines.append(f"photo{number}.jpg,{label}")
    (root / "images.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def tiny_config() -> CLIPConfig:
    """Return the shape of the demonstration CLIP, much smaller."""
    config = demo_config().to_dict()
    config["text_config"].update(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)
    config["vision_config"].update(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
    config["vision_config"].update(image_size=24, patch_size=6)
    return CLIPConfig(text_config=config["text_config"], vision_config=config["vision_config"], projection_dim=16)


def short(epochs: int) -> Schedule:
    """Return a schedule for a few photos."""
    return dataclasses.replace(STUDENT_SCHEDULE, epochs=epochs, batch=8, warm_up=0.0, peak_rate=2e-3)
