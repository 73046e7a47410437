"""Where the pixels come from is exact for every size, however the decoder shrinks and rounds."""

from __future__ import annotations

import io

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from product_match.preprocessing.geometry import Geometry
from product_match.preprocessing.images import ImagePreprocessor
from tests.fakes import photos
from tests.fakes.encoders import encoder_spec

LEAST_COSINE = 0.9999
SIDES = st.one_of(st.integers(30, 6000), st.integers(30, 1600))
MOST_PIXELS = 6_000_000


def scene(width, height, seed=5):
    """Soft shapes, as photos have, with an edge."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (7, 7, 3), dtype=np.uint8), "RGB")
    image = small.resize((width, height), Image.Resampling.BICUBIC)
    image.paste((230, 40, 90), (width // 3, height // 3, width // 2, height // 2))
    return image


def expected(data, encoder):
    """Decoded whole, resized and cropped in the steps of the checkpoints' own processors."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    side, short = encoder.image_size_px, encoder.resize_size_px
    if encoder.resize_mode == "squash":
        return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC)).astype(float)
    width, height = image.size
    scaled = (short, int(short * height / width)) if width <= height else (int(short * width / height), short)
    image = image.resize(scaled, Image.Resampling.BICUBIC)
    left, top = (scaled[0] - side) // 2, (scaled[1] - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side))).astype(float)


def cosine(one, other):
    one, other = one.ravel() - 127.5, other.ravel() - 127.5
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))


PREPROCESSORS = {
    (side, short, mode): ImagePreprocessor(
        encoder_spec(image_size_px=side, resize_size_px=short, resize_mode=mode), threads=1
    )
    for side, short, mode in [(32, 32, "shortest_edge_crop"), (96, 110, "shortest_edge_crop"), (64, 64, "squash")]
}


@pytest.fixture(scope="module", autouse=True)
def ended():
    yield
    for preprocessor in PREPROCESSORS.values():
        preprocessor.close()


@hypothesis.seed(20)
@hypothesis.settings(max_examples=60, deadline=None, database=None, phases=[hypothesis.Phase.generate])
@hypothesis.given(width=SIDES, height=SIDES, key=st.sampled_from(sorted(PREPROCESSORS)))
def test_every_size_gives_the_pixels_of_the_exact_path(width, height, key):
    hypothesis.assume(width * height <= MOST_PIXELS)
    data = photos.encoded(scene(width, height), "JPEG", quality=92)
    side, short, mode = key
    encoder = encoder_spec(image_size_px=side, resize_size_px=short, resize_mode=mode)
    wanted = expected(data, encoder)
    found = PREPROCESSORS[key].pixels(data).astype(float)
    assert cosine(found, wanted) >= LEAST_COSINE
    assert np.abs(found - wanted).max() <= 12


@pytest.mark.parametrize("size", [(1000, 1333), (1333, 1000), (1337, 1749), (6000, 4001), (30, 6000), (6000, 30)])
def test_sizes_that_the_decoder_rounds_are_exact_at_224(size):
    data = photos.encoded(scene(*size), "JPEG", quality=92)
    encoder = encoder_spec(image_size_px=224, resize_size_px=224)
    preprocessor = ImagePreprocessor(encoder, threads=1)
    wanted, found = expected(data, encoder), preprocessor.pixels(data).astype(float)
    preprocessor.close()
    assert cosine(found, wanted) >= LEAST_COSINE
    assert np.abs(found - wanted).mean() <= 0.8


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "lanczos"])
@pytest.mark.parametrize("mode", ["shortest_edge_crop", "squash"])
@pytest.mark.parametrize("size", [(1700, 900), (900, 1700), (41, 2500), (33, 31)])
def test_bands_give_what_the_whole_gives(size, mode, interpolation):
    geometry = Geometry(side_px=48, short_px=52, mode=mode, interpolation=interpolation)
    image = scene(*size)
    for orientation in (1, 6):
        box = geometry.box(*size, orientation)
        whole = geometry.resized(image, box, None)
        banded = geometry.resized(image, box, lambda band, _: band)
        difference = np.abs(np.asarray(banded).astype(int) - np.asarray(whole))
        # Pillow may take the columns of a tall photo first, and rounds in between.
        assert difference.max() <= 1
        assert difference.mean() <= 0.2


def test_geometry_goes_to_another_process_and_back():
    geometry = Geometry.of(encoder_spec())
    assert Geometry.from_json(geometry.to_json()) == geometry


def test_a_box_without_rows_is_no_photo():
    geometry = Geometry.of(encoder_spec())
    with pytest.raises(ValueError, match="a box without rows"):
        geometry.resized(photos.gradient(), (0.0, 900.0, 10.0, 910.0), lambda band, _: band)
