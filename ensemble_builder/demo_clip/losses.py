"""The losses that shape the shared space of images and texts."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def multi_positive_loss(logits: Tensor, positives: Tensor) -> Tensor:
    """Contrast each row with all columns, where several columns may match.

    Args:
        logits: [n, m] similarities times their scale.
        positives: [n, m] bool, True where the column matches the row.

    Returns:
        The mean over rows of the mean over their matches of the negative log-softmax; rows without a match are
        left out.

    Source: Khosla et al., "Supervised Contrastive Learning", 2020, the loss with the sum outside.
    """
    weights = positives.float()
    matches = weights.sum(dim=1)
    log_shares = functional.log_softmax(logits.float(), dim=1)
    rows = -(log_shares * weights).sum(dim=1) / matches.clamp(min=1.0)
    return rows.sum() / (matches > 0).sum().clamp(min=1)


def image_text_loss(images: Tensor, texts: Tensor, positives: Tensor, scale: Tensor) -> Tensor:
    """Contrast images with captions and captions with images.

    Args:
        images: [n, d] unit rows.
        texts: [m, d] unit rows.
        positives: [n, m] bool, True where the caption is true of the image.
        scale: Scalar that multiplies the cosines.

    Returns:
        The mean of both directions; finding images by text counts twice.
    """
    logits = scale * images @ texts.T
    by_image = multi_positive_loss(logits, positives)
    by_text = multi_positive_loss(logits.T, positives.T)
    return (by_image + 2.0 * by_text) / 3.0


def image_image_loss(
    images: Tensor, same_photo: Tensor, same_kind: Tensor, temperature: float = 0.1, view_share: float = 0.3
) -> Tensor:
    """Pull views of one photo together, and photos of one label too.

    Args:
        images: [n, d] unit rows.
        same_photo: [n, n] bool, True for two views of one photo.
        same_kind: [n, n] bool, True for photos of one label.
        temperature: Divides the cosines.
        view_share: Weight of the loss over views; the loss over labels has the rest.

    Returns:
        The weighted mean of the loss over views and the loss over labels.
    """
    itself = torch.eye(len(images), dtype=torch.bool, device=images.device)
    logits = (images @ images.T / temperature).masked_fill(itself, -1e4)
    views = multi_positive_loss(logits, same_photo & ~itself)
    # Another view of the same photo is no negative of its label, nor an easy positive.
    labels = multi_positive_loss(logits.masked_fill(same_photo, -1e4), same_kind & ~same_photo)
    return view_share * views + (1 - view_share) * labels


def distillation_loss(logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Follow the teacher's beliefs about the classes.

    Args:
        logits: [n, classes] of the student.
        teacher_logits: [n, classes] of the teacher, without gradient.

    Returns:
        The mean Kullback-Leibler divergence.
    """
    wanted = functional.log_softmax(teacher_logits.float(), dim=1)
    got = functional.log_softmax(logits.float(), dim=1)
    return functional.kl_div(got, wanted, reduction="batchmean", log_target=True)


def feature_loss(predicted: Tensor, teacher_features: Tensor) -> Tensor:
    """Predict the teacher's features.

    Args:
        predicted: [n, w] the student's guess.
        teacher_features: [n, w] pooled features of the teacher, without gradient.

    Returns:
        The mean squared error after each teacher row is scaled to zero mean and unit deviation.
    """
    wanted = functional.layer_norm(teacher_features.float(), teacher_features.shape[1:])
    return functional.mse_loss(predicted.float(), wanted)
