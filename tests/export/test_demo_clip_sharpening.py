"""The last step of the training: the shared space is turned so that crops change it less."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import CLIPModel

from ensemble_builder.demo_clip.photos import CACHE_SIDE, Photo, PhotoSet, centre_square
from ensemble_builder.demo_clip.sharpening import (
    CROPPED_SIDE,
    _projected,
    crop_proof,
    cropped_frames,
    sharpen,
    shortened,
    whole_frames,
)
from ensemble_builder.demo_clip.student import token_ids
from ensemble_builder.demo_clip.tokenizer import build_tokenizer, text_tokenizer
from ensemble_builder.demo_clip.training import caption_merges
from ensemble_builder.demo_clip.words import COLOUR_NAMES
from tests.fakes import checkpoints

ASPECTS = torch.tensor([0.5, 0.75, 1.0, 1.6])


def photo_set(count: int = 12) -> PhotoSet:
    """Return photos of smooth random patches; all but the first two are groceries."""
    random = np.random.default_rng(0)
    pixels = np.stack(
        [
            np.asarray(
                Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((CACHE_SIDE, CACHE_SIDE))
            ).transpose(2, 0, 1)
            for _ in range(count)
        ]
    )
    photos = tuple(
        Photo(path=Path("lime.jpg"), label="Lime", group="Lime", category="clothing" if row < 2 else "Fruit")
        for row in range(count)
    )
    aspects = np.linspace(0.6, 1.5, count, dtype=np.float32)
    return PhotoSet(photos=photos, pixels=pixels, aspects=aspects, colours=("navy",) * 2 + ("",) * (count - 2))


@pytest.fixture(scope="module")
def clip() -> CLIPModel:
    torch.manual_seed(0)
    return CLIPModel(checkpoints.clip_config()).eval()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return text_tokenizer(*build_tokenizer(caption_merges()))


def image_rows(clip: CLIPModel, photos: PhotoSet, frames: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return _projected(clip, photos, torch.arange(len(photos)), frames)


def text_rows(clip: CLIPModel, tokenizer: Tokenizer, texts: list[str]) -> torch.Tensor:
    with torch.no_grad():
        return clip.text_projection(clip.text_model(input_ids=token_ids(tokenizer, texts)).pooler_output)


def test_no_strength_gives_the_identity():
    changes = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(crop_proof(changes, 0.0), torch.eye(8))


def test_what_crops_change_most_is_stressed_least():
    spread = torch.tensor([4.0, 1.0, 0.25, 0.0])
    turn = crop_proof(torch.randn(4000, 4, generator=torch.Generator().manual_seed(0)) * spread, 1.5)
    assert torch.allclose(turn, turn.T, atol=1e-6)
    assert float(torch.linalg.eigvalsh(turn).min()) > 1.0
    gains = turn.diagonal()
    assert bool((gains[1:] > gains[:-1]).all())
    # A direction that no crop changes is not blown up without end.
    assert float(gains[3]) < 5.0


def test_photos_that_crops_do_not_change_keep_their_proportions():
    assert torch.allclose(crop_proof(torch.zeros(10, 4), 1.5), 2.5 * torch.eye(4))


def test_the_directions_in_which_rows_differ_are_shortened():
    rows = torch.tensor([[5.0, 3.0, 0.0, 1.0], [5.0, -3.0, 0.0, 1.0], [5.0, 0.0, 2.0, 1.0], [5.0, 0.0, -2.0, 1.0]])
    assert torch.allclose(shortened(rows, 2, 0.6), torch.diag(torch.tensor([1.0, 0.6, 0.6, 1.0])), atol=1e-6)
    assert torch.allclose(shortened(rows, 1, 0.6), torch.diag(torch.tensor([1.0, 0.6, 1.0, 1.0])), atol=1e-6)
    assert torch.equal(shortened(rows, 2, 1.0), torch.eye(4))


def test_crops_stay_within_the_photo():
    random = torch.Generator().manual_seed(0)
    whole = whole_frames(ASPECTS)
    assert torch.allclose(whole[:, 0, 0], torch.tensor([1.0, 1.0, 1.0, 0.625]))
    assert torch.allclose(whole[:, 1, 1], torch.tensor([0.5, 0.75, 1.0, 1.0]))
    for mirrored in (False, True):
        frames = cropped_frames(ASPECTS.repeat(50), mirrored=mirrored, random=random)
        assert torch.allclose(frames[:, 0, 0].abs(), CROPPED_SIDE * whole[:, 0, 0].repeat(50))
        assert bool((frames[:, 0, 0] < 0).all()) is mirrored
        assert float((frames[:, :, :2].abs().sum(dim=2) + frames[:, :, 2].abs()).max()) <= 1.0 + 1e-6


def test_a_frame_shows_what_cropping_the_file_shows():
    x, y = np.meshgrid(np.linspace(0, 1, 300), np.linspace(0, 1, 200))
    photo = Image.fromarray((np.stack([x, y, (x + y) / 2], axis=2) * 255).astype(np.uint8))
    frame = cropped_frames(torch.tensor([1.5]), mirrored=False, random=torch.Generator().manual_seed(3))
    left, top = ((frame[0, :, 2].numpy() + 1 - CROPPED_SIDE) / 2) * np.array(photo.size)
    cropped = photo.crop((round(left), round(top), round(left) + 270, round(top) + 180))
    squeezed = torch.from_numpy(np.asarray(photo.resize((CACHE_SIDE, CACHE_SIDE))).transpose(2, 0, 1).copy())
    grid = functional.affine_grid(frame, [1, 3, 60, 60], align_corners=False)
    shown = functional.grid_sample(squeezed[None].float(), grid, padding_mode="reflection", align_corners=False)[0]
    assert float(np.abs(shown.numpy() - centre_square(cropped, 60)).mean()) < 2.0


def test_sharpening_spreads_what_crops_change_and_keeps_what_texts_find(clip, tokenizer):
    photos, sharp = photo_set(), copy.deepcopy(clip)
    sharpen(sharp, photos, tokenizer, seed=1)
    aspects = torch.from_numpy(photos.aspects)
    crops = cropped_frames(aspects, mirrored=False, random=torch.Generator().manual_seed(5))

    def share_of_the_largest(model: CLIPModel) -> float:
        whole, cropped = (image_rows(model, photos, frames) for frames in (whole_frames(aspects), crops))
        strengths = torch.linalg.svdvals((whole - cropped) / whole.norm(dim=1, keepdim=True)).square()
        return float(strengths[0] / strengths.sum())

    # Crops that were not seen, and one direction of what they change weighs less among all.
    assert share_of_the_largest(sharp) < 0.8 * share_of_the_largest(clip)
    whole, texts = whole_frames(aspects), ["navy t-shirt", "lime", "a carton of oat yoghurt"]
    before = image_rows(clip, photos, whole) @ text_rows(clip, tokenizer, texts).T
    after = image_rows(sharp, photos, whole) @ text_rows(sharp, tokenizer, texts).T
    assert torch.allclose(before, after, rtol=1e-2, atol=1e-3 * float(before.abs().max()))


def test_garments_are_compared_with_less_of_their_colours(clip, tokenizer):
    sharp = copy.deepcopy(clip)
    sharpen(sharp, photo_set(), tokenizer, seed=1, crop_strength=0.0, colour_kept=0.6)
    # Images along what tells two names of colours apart are shorter than they were by the share that is kept.
    names = functional.normalize(text_rows(clip, tokenizer, list(COLOUR_NAMES)), dim=1)
    apart = (names[1:] - names[:1]).double()
    pooled = torch.linalg.lstsq(clip.visual_projection.weight.double(), apart.T).solution
    with torch.no_grad():
        kept = (sharp.visual_projection.weight.double() @ pooled).norm(dim=0) / apart.norm(dim=1)
    assert float(kept.max()) < 0.8
    assert float(kept.min()) > 0.59


def test_sharpening_is_seeded_and_without_strength_changes_nothing(clip, tokenizer):
    photos = photo_set()
    weights = []
    for seed, strength, kept in ((1, 2.5, 0.6), (1, 2.5, 0.6), (2, 2.5, 0.6), (1, 0.0, 1.0)):
        sharp = copy.deepcopy(clip)
        sharpen(sharp, photos, tokenizer, seed=seed, crop_strength=strength, colour_kept=kept)
        weights.append(sharp.visual_projection.weight.detach())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.allclose(weights[3], clip.visual_projection.weight)


def test_garments_alone_are_sharpened_by_their_own_crops_and_groceries_alone_keep_their_colours(clip, tokenizer):
    garments, groceries = photo_set(2), dataclasses.replace(photo_set(), colours=("",) * 12)
    assert {photo.area for photo in garments.photos} == {"clothing"}
    for photos, other_colours_change_it in ((garments, True), (groceries, False)):
        weights = []
        for kept in (1.0, 0.6):
            sharp = copy.deepcopy(clip)
            sharpen(sharp, photos, tokenizer, seed=1, colour_kept=kept)
            weights.append(sharp.visual_projection.weight.detach())
        assert not torch.allclose(weights[0], clip.visual_projection.weight)
        assert torch.equal(*weights) is not other_colours_change_it
