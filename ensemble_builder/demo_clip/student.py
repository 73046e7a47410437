"""The CLIP while it learns: random patches left out, and heads that are thrown away afterwards."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPModel

from .tokenizer import END_TOKEN_ID


class Student(nn.Module):
    """A CLIP with a head that predicts the teacher's features, and learned scales of its losses.

    Args:
        clip: The model that is kept.
        teacher_width: Width of the teacher's features; None without a teacher.
    """

    def __init__(self, clip: CLIPModel, teacher_width: int | None) -> None:
        super().__init__()
        self.clip = clip
        width = clip.config.vision_config.hidden_size
        self.feature_head: nn.Module = nn.Identity()
        if teacher_width is not None:
            layers = (nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, teacher_width))
            self.feature_head = nn.Sequential(*layers)
        self.label_scale = nn.Parameter(torch.tensor(2.5))
        self.colour_scale = nn.Parameter(torch.tensor(2.5))
        clip.logit_scale.requires_grad_(True)

    def pooled(self, pixels: Tensor, keep: float, random: torch.Generator) -> Tensor:
        """Encode images from a random part of their patches.

        Args:
            pixels: [n, 3, s, s] normalised.
            keep: Share of the patches that is looked at.
            random: Source of all randomness.

        Returns:
            [n, width] the vision tower's pooled output.

        Source: Li et al., "Scaling Language-Image Pre-training via Masking", 2023.
        """
        vision = self.clip.vision_model
        hidden = vision.embeddings(pixels)
        patches = hidden.shape[1] - 1
        kept = max(1, round(patches * keep))
        if kept < patches:
            order = torch.rand(len(hidden), patches, generator=random).argsort(dim=1)[:, :kept] + 1
            order = torch.cat([torch.zeros(len(hidden), 1, dtype=torch.long), order], dim=1).to(hidden.device)
            hidden = hidden.gather(1, order[:, :, None].expand(-1, -1, hidden.shape[2]))
        hidden = vision.encoder(inputs_embeds=vision.pre_layrnorm(hidden)).last_hidden_state
        pooled: Tensor = vision.post_layernorm(hidden[:, 0])
        return pooled

    def image_rows(self, pooled: Tensor) -> Tensor:
        """Project pooled features to unit rows of the shared space."""
        return functional.normalize(self.clip.visual_projection(pooled).float(), dim=1)

    def text_rows(self, token_ids: Tensor) -> Tensor:
        """Encode tokenised texts to unit rows of the shared space.

        Args:
            token_ids: [m, t] int64, padded with the end token.
        """
        pooled = self.clip.text_model(input_ids=token_ids).pooler_output
        return functional.normalize(self.clip.text_projection(pooled).float(), dim=1)


def token_ids(tokenizer: Tokenizer, texts: list[str]) -> Tensor:
    """Tokenise texts to one rectangle.

    Args:
        tokenizer: A tokenizer that adds the start and the end token.
        texts: Texts shorter than the model's limit.

    Returns:
        [m, t] int64, padded with the end token.
    """
    rows = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    longest = max(len(row) for row in rows)
    return torch.tensor([row + [END_TOKEN_ID] * (longest - len(row)) for row in rows])
