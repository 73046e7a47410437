"""Random views of photos, made for a whole batch at once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .model import IMAGE_MEAN, IMAGE_STD

# Share of the recoloured views that become grey; the others get their channels in a random order.
GREY_SHARE = 0.4


@dataclass(frozen=True, kw_only=True)
class ViewOptions:
    """How strongly views differ from the photo.

    Attributes:
        smallest_area: Least share of the photo's centre square that a crop shows.
        rotation: Largest turn, in radians.
        light: Largest relative change of brightness, contrast and saturation.
        tint: Largest relative change of one colour channel; small, so that a colour keeps its name.
        erase: Share of views with one rectangle painted over.
        blur: Share of views that are softened.
    """

    smallest_area: float = 0.35
    rotation: float = 0.2
    light: float = 0.35
    tint: float = 0.06
    erase: float = 0.3
    blur: float = 0.15


def random_views(pixels: Tensor, aspects: Tensor, side: int, options: ViewOptions, random: torch.Generator) -> Tensor:
    """Crop, turn, flip and recolour each photo at random.

    Args:
        pixels: [n, 3, s, s] uint8, whole photos squeezed to squares.
        aspects: [n] float32, width over height of each photo.
        side: Side of the views in pixels.
        options: Strength of the changes.
        random: Source of all randomness.

    Returns:
        [n, 3, side, side] float32, normalised with CLIP's mean and deviation.
    """
    grid = functional.affine_grid(
        _random_frames(aspects, options, random).to(pixels.device), [len(pixels), 3, side, side], align_corners=False
    )
    views = functional.grid_sample(
        pixels.float() / 255.0, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    views = _relight(views, options, random)
    views = _soften(views, options.blur, random)
    views = normalised(views.clamp(0.0, 1.0))
    return _erase(views, options.erase, random)


def normalised(pixels: Tensor) -> Tensor:
    """Apply CLIP's mean and deviation.

    Args:
        pixels: [n, 3, h, w] float, 0..1.

    Returns:
        The same shape, about -2..2.
    """
    mean = pixels.new_tensor(IMAGE_MEAN).view(1, 3, 1, 1)
    deviation = pixels.new_tensor(IMAGE_STD).view(1, 3, 1, 1)
    return (pixels - mean) / deviation


def _uniform(random: torch.Generator, count: int, low: float, high: float) -> Tensor:
    return torch.rand(count, generator=random) * (high - low) + low


def _random_frames(aspects: Tensor, options: ViewOptions, random: torch.Generator) -> Tensor:
    """Return [n, 2, 3] affine frames in the squeezed photo's coordinates (-1..1 on both axes)."""
    count = len(aspects)
    # Half-sides of the centre square in squeezed coordinates: the longer axis is shown only in part.
    square_x, square_y = (1 / aspects).clamp(max=1.0), aspects.clamp(max=1.0)
    scale = _uniform(random, count, options.smallest_area, 1.25).sqrt()
    stretch = torch.exp(_uniform(random, count, -0.2, 0.2))
    half_x, half_y = square_x * scale * stretch, square_y * scale / stretch
    shift_x = _uniform(random, count, -1.0, 1.0) * (1.08 - half_x).clamp(min=0.0)
    shift_y = _uniform(random, count, -1.0, 1.0) * (1.08 - half_y).clamp(min=0.0)
    angle = _uniform(random, count, -options.rotation, options.rotation)
    flip = torch.where(torch.rand(count, generator=random) < 0.5, -1.0, 1.0)
    cosine, sine = angle.cos(), angle.sin()
    return torch.stack(
        [
            torch.stack([half_x * cosine * flip, -half_x * sine, shift_x], dim=1),
            torch.stack([half_y * sine * flip, half_y * cosine, shift_y], dim=1),
        ],
        dim=1,
    )


def _relight(views: Tensor, options: ViewOptions, random: torch.Generator) -> Tensor:
    count = len(views)

    def factor(strength: float) -> Tensor:
        return _uniform(random, count, 1 - strength, 1 + strength).view(-1, 1, 1, 1).to(views.device)

    grey = views.mean(dim=1, keepdim=True)
    saturation = factor(options.light)
    views = views * saturation + grey * (1 - saturation)
    contrast = factor(options.light)
    level = views.mean(dim=(1, 2, 3), keepdim=True)
    views = views * contrast + level * (1 - contrast)
    tint = _uniform(random, count * 3, 1 - options.tint, 1 + options.tint).view(-1, 3, 1, 1).to(views.device)
    return views * (factor(options.light * 0.8) * tint)


def _soften(views: Tensor, share: float, random: torch.Generator) -> Tensor:
    chosen = torch.rand(len(views), generator=random) < share
    if not chosen.any():
        return views
    views[chosen] = functional.avg_pool2d(functional.pad(views[chosen], (1, 1, 1, 1), mode="reflect"), 3, stride=1)
    return views


def _erase(views: Tensor, share: float, random: torch.Generator) -> Tensor:
    count, _, height, width = views.shape
    chosen = (torch.rand(count, generator=random) < share).nonzero().flatten().tolist()
    for row in chosen:
        sizes = _uniform(random, 2, 0.15, 0.45)
        tall, wide = int(sizes[0] * height), int(sizes[1] * width)
        top = int(torch.randint(height - tall, (1,), generator=random))
        left = int(torch.randint(width - wide, (1,), generator=random))
        views[row, :, top : top + tall, left : left + wide] = torch.randn(3, 1, 1, generator=random).to(views.device)
    return views


def recoloured(views: Tensor, chosen: Tensor, random: torch.Generator) -> Tensor:
    """Take the colours of some views away, or exchange their channels, so that only shapes tell what they show.

    Args:
        views: [n, 3, h, w] normalised.
        chosen: [n] bool, the views to change.
        random: Source of all randomness.

    Returns:
        The same shape; views that were not chosen are as they were.
    """
    views = views.clone()
    for row in chosen.nonzero().flatten().tolist():
        if float(torch.rand(1, generator=random)) < GREY_SHARE:
            views[row] = views[row].mean(dim=0, keepdim=True)
        else:
            views[row] = views[row][torch.randperm(3, generator=random).to(views.device)]
    return views


@dataclass(frozen=True, kw_only=True)
class MixedViews:
    """Views into which other views of the batch were mixed.

    Attributes:
        views: [n, 3, h, w].
        partners: [n] the row that was mixed into each row.
        kept: Share of each view that is still its own.
    """

    views: Tensor
    partners: Tensor
    kept: float


def mixed_views(views: Tensor, random: torch.Generator, share: float) -> MixedViews:
    """Blend a batch with itself (mixup), or paste a rectangle of another view (cutmix), or leave it.

    Args:
        views: [n, 3, h, w].
        random: Source of all randomness.
        share: Share of batches that are mixed.

    Returns:
        The views and how they were mixed.

    Source: Zhang et al., "mixup", 2018; Yun et al., "CutMix", 2019.
    """
    partners = torch.randperm(len(views), generator=random)
    kind = float(torch.rand(1, generator=random))
    drawn = float(torch.rand(1, generator=random))
    if kind >= share:
        return MixedViews(views=views, partners=partners, kept=1.0)
    if kind < 0.6 * share:
        kept = 0.5 + 0.5 * drawn
        return MixedViews(views=views * kept + views[partners] * (1 - kept), partners=partners, kept=kept)
    height, width = views.shape[2:]
    tall, wide = int(height * (0.25 + 0.5 * drawn)), int(width * (0.25 + 0.5 * drawn))
    top = int(torch.randint(height - tall + 1, (1,), generator=random))
    left = int(torch.randint(width - wide + 1, (1,), generator=random))
    pasted = views.clone()
    pasted[:, :, top : top + tall, left : left + wide] = views[partners, :, top : top + tall, left : left + wide]
    return MixedViews(views=pasted, partners=partners, kept=1 - tall * wide / (height * width))
