"""How photos are resized, cropped and normalised: as transformers does, or refused in one sentence."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from ensemble_builder.checkpoint import open_checkpoint
from ensemble_builder.families import family_of
from ensemble_builder.image_rules import image_rules, load_image_processor
from product_match.contract.errors import CheckpointError
from product_match.preprocessing.images import ImagePreprocessor
from tests.fakes import checkpoints
from tests.fakes.encoders import encoder_spec

CONVNEXT = {"image_processor_type": "ConvNextImageProcessor", "crop_pct": 0.875, "do_center_crop": False}


def read(directory, config, **preprocessor):
    checkpoint = open_checkpoint(str(checkpoints.with_preprocessor(config, directory, **preprocessor)))
    processor = load_image_processor(checkpoint)
    return checkpoint, processor, image_rules(checkpoint, processor)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_mean": [0.5]}, r"\(CLIPImageProcessor\): image_mean is .0.5.*; three numbers are needed"),
        ({"crop_size": {"height": 80, "width": 64}}, r"crop_size is .*; height and width must be the same"),
        ({"size": {"shortest_edge": 0}}, r"size is \{'shortest_edge': 0\}; sides in pixels are needed"),
        ({"size": {"longest_edge": 80}}, r"the shape of the image follows the photo's; use a checkpoint whose"),
        ({"resample": 5}, r"resample is 5; known are 1 \(lanczos\)"),
        ({"do_resize": False}, r"do_resize is false, so photos keep their size; set do_resize to true"),
        ({"do_center_crop": False}, r"without a centre crop, so that the shape .* set do_center_crop and crop_size"),
        ({"crop_size": 96}, r"resized to 80 pixels and cropped to 96, which would pad them with black"),
        ({"crop_size": 64}, r"makes images of 64 pixels, and the image tower in config.json takes 80"),
        ({"image_processor_type": "SiglipImageProcessor", "do_pad": True}, r"do_pad is true; use a checkpoint whose"),
        (
            {"image_processor_type": "EfficientNetImageProcessor"},
            r"EfficientNetImageProcessor prepares photos in a way",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_sentence(clip_checkpoint, tmp_path, changes, words):
    with pytest.raises(CheckpointError, match=words):
        checkpoint, _, rules = read(tmp_path / "changed", clip_checkpoint, **changes)
        family_of(checkpoint).check_shapes(checkpoint, rules)


@pytest.mark.parametrize(
    "changes",
    [
        {"size": {"shortest_edge": 96}},
        {"size": {"height": 80, "width": 80}, "do_center_crop": False},
        {"size": {"height": 90, "width": 90}, "crop_size": {"height": 80, "width": 80}},
        {"size": 96, "crop_size": 80, "resample": 2},
        {"image_processor_type": "ViTImageProcessor", "size": 80},
        {"image_processor_type": "SiglipImageProcessor", "size": {"height": 80, "width": 80}},
        {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 92}},
        {**CONVNEXT, "size": {"shortest_edge": 80}},
        {**CONVNEXT, "size": {"shortest_edge": 384}},
        {"image_processor_type": "ChineseCLIPImageProcessor", "size": {"height": 80, "width": 80}},
        {"image_processor_type": "EfficientNetImageProcessor", "size": 92, "include_top": False},
        {"do_rescale": False, "do_normalize": False},
    ],
    ids=lambda changes: ",".join(f"{key}={value}" for key, value in changes.items()),
)
@pytest.mark.parametrize("shape", [(120, 90), (90, 121), (100, 100), (333, 500)])
def test_pixels_are_those_of_the_processor(clip_checkpoint, tmp_path, changes, shape):
    _, processor, rules = read(tmp_path / "changed", clip_checkpoint, **changes)
    photo = Image.effect_mandelbrot(shape, (-2, -1.2, 0.8, 1.2), 100).convert("RGB")
    stream = io.BytesIO()
    photo.save(stream, "PNG")
    spec = encoder_spec(
        image_size_px=rules.image_size_px,
        resize_size_px=rules.resize_size_px,
        resize_mode=rules.resize_mode,
        interpolation=rules.interpolation,
    )
    found = ImagePreprocessor(spec, threads=1).pixels(stream.getvalue()).astype(np.float64)
    own = np.asarray(processor(images=photo, return_tensors="np")["pixel_values"][0]).transpose(1, 2, 0)
    ours = (found * rules.rescale_factor - rules.mean) / rules.std
    steps = np.abs(ours - own) * np.asarray(rules.std) / rules.rescale_factor
    assert steps.mean() < 0.2


def test_a_processor_that_transformers_does_not_know_is_refused(clip_checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match=r"cannot make an image processor of preprocessor_config.json"):
        read(tmp_path / "changed", clip_checkpoint, image_processor_type="Nonesuch")
