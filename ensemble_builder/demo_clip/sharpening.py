"""The last step: stretch the space of the photos, so that a crop is told apart from the next photo of the shelf.

Texts are moved the other way, so that they find what they found before.
"""

from __future__ import annotations

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional
from transformers import CLIPModel

from .augmentation import normalised
from .loop import mixed_precision
from .photos import GROCERIES, PhotoSet
from .student import token_ids
from .words import COLOUR_NAMES

CROP_STRENGTH = 2.5
COLOUR_KEPT = 0.7
CROPPED_SIDE = 0.9
COLOUR_TEXTS = ("{colour}", "something {colour} to wear", "{colour} clothes")
# Added to every variance, as a share of their mean, so that directions without any are not blown up.
_LEAST_VARIANCE = 0.03
_BATCH = 32


@torch.no_grad()
def sharpen(
    clip: CLIPModel,
    photos: PhotoSet,
    tokenizer: Tokenizer,
    *,
    seed: int,
    crop_strength: float = CROP_STRENGTH,
    colour_kept: float = COLOUR_KEPT,
) -> None:
    """Stress what crops leave as it is, and let colours matter less when photos of garments are compared.

    Images are multiplied by a matrix A and texts by the inverse of its transpose. So the products of texts and images
    stay what they are until the images are scaled to length 1 again, and photos are compared in another way.

    Args:
        clip: The model; both projections are changed in place.
        photos: The training photos.
        tokenizer: Makes token ids of the names of colours.
        seed: Seed of the crops.
        crop_strength: What `crop_proof` takes; 0 leaves crops alone.
        colour_kept: Length that is left of the directions in which the names of colours differ; 1 leaves them alone,
            and so do photos without garments.
    """
    turn = crop_proof(_crop_changes(clip, photos, seed), crop_strength)
    if any(photos.colours):
        lines = [text.format(colour=colour) for colour in COLOUR_NAMES for text in COLOUR_TEXTS]
        pooled = clip.text_model(input_ids=token_ids(tokenizer, lines).to(clip.device)).pooler_output
        names = functional.normalize(clip.text_projection(pooled).float(), dim=1)
        turn = turn @ shortened(names, len(COLOUR_NAMES) - 1, colour_kept)
    turn = turn.to(clip.device)
    clip.visual_projection.weight.copy_(turn @ clip.visual_projection.weight)
    clip.text_projection.weight.copy_(torch.linalg.solve(turn.T, clip.text_projection.weight))


def shortened(rows: Tensor, directions: int, kept: float) -> Tensor:
    """Return the matrix that shortens the directions in which rows differ most.

    Args:
        rows: [n, d].
        directions: How many directions, at most.
        kept: Length that is left of them; 1 gives the identity.

    Returns:
        [d, d] float32, symmetric.
    """
    rows = (rows - rows.mean(dim=0)).double().cpu()
    main = torch.linalg.svd(rows, full_matrices=False)[2][:directions]
    return (torch.eye(rows.shape[1], dtype=torch.float64) - (1 - kept) * main.T @ main).float()


def crop_proof(changes: Tensor, strength: float) -> Tensor:
    """Return the matrix I + c S^(-1/2), where S is the mean outer product of the changes.

    S^(-1/2) is scaled to a mean eigenvalue of 1.

    Args:
        changes: [n, d] what crops change in the rows of photos.
        strength: The c above; 0 gives the identity.

    Returns:
        [d, d] float32, symmetric and positive definite.
    """
    changes = changes.double().cpu()
    variances, directions = torch.linalg.eigh(changes.T @ changes / len(changes))
    gains = (variances.clamp(min=0) + _LEAST_VARIANCE * variances.mean()).clamp(min=1e-12).rsqrt()
    whitening = (directions * (gains / gains.mean())) @ directions.T
    return (torch.eye(len(variances), dtype=torch.float64) + strength * whitening).float()


def whole_frames(aspects: Tensor) -> Tensor:
    """Return the frames of the photos' centre squares, as `affine_grid` takes them.

    Args:
        aspects: [n] width over height of each photo; the photos themselves are squeezed to squares.

    Returns:
        [n, 2, 3] float32.
    """
    half_x, half_y = (1 / aspects).clamp(max=1.0), aspects.clamp(max=1.0)
    nothing = torch.zeros_like(aspects)
    return torch.stack(
        [torch.stack([half_x, nothing, nothing], dim=1), torch.stack([nothing, half_y, nothing], dim=1)], dim=1
    )


def cropped_frames(aspects: Tensor, *, mirrored: bool, random: torch.Generator) -> Tensor:
    """Return the frames of the centre squares of photos that were cropped to `CROPPED_SIDE` of both sides.

    Args:
        aspects: [n] width over height of each photo.
        mirrored: Whether left and right change places.
        random: Decides where the crops lie, always within the photo.

    Returns:
        [n, 2, 3] float32.
    """
    frames = CROPPED_SIDE * whole_frames(aspects)
    frames[:, :, 2] = (torch.rand(len(aspects), 2, generator=random) * 2 - 1) * (1 - CROPPED_SIDE)
    if mirrored:
        frames[:, 0, 0] *= -1
    return frames


def _crop_changes(clip: CLIPModel, photos: PhotoSet, seed: int) -> Tensor:
    """Return what crops change in photos, of the groceries when there are any: they stand side by side on shelves."""
    groceries = [row for row, photo in enumerate(photos.photos) if photo.area == GROCERIES]
    chosen = torch.tensor(groceries or list(range(len(photos))))
    random = torch.Generator().manual_seed(seed)
    changes = []
    for rows in chosen.split(_BATCH):
        whole = _projected(clip, photos, rows, whole_frames(_aspects(photos, rows)))
        for mirrored in (False, True):
            frames = cropped_frames(_aspects(photos, rows), mirrored=mirrored, random=random)
            changes.append((whole - _projected(clip, photos, rows, frames)) / whole.norm(dim=1, keepdim=True))
    return torch.cat(changes)


def _aspects(photos: PhotoSet, rows: Tensor) -> Tensor:
    return torch.from_numpy(photos.aspects)[rows]


def _projected(clip: CLIPModel, photos: PhotoSet, rows: Tensor, frames: Tensor) -> Tensor:
    """Encode what the frames show of the photos; the rows keep their lengths."""
    pixels = torch.from_numpy(photos.pixels)[rows].to(clip.device).float() / 255.0
    side = clip.config.vision_config.image_size
    grid = functional.affine_grid(frames.to(clip.device), [len(rows), 3, side, side], align_corners=False)
    views = functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    with mixed_precision(clip.device):
        pooled = clip.vision_model(normalised(views)).pooler_output
    projected: Tensor = clip.visual_projection(pooled.float())
    return projected
