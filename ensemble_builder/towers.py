"""The two towers of a model as modules whose inputs and outputs are the ones that Triton sees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

ATTENTION: str = "product_match_export"
MASKED: float = -1e3
"""Large enough to vanish in a softmax, small enough for FP16 with room to spare."""


def export_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention whose scale is applied to the query, where TensorRT looks for it when it fuses.

    Args:
        module: Unused; part of transformers' interface.
        query: [N, heads, S, d].
        key: [N, heads, S, d].
        value: [N, heads, S, d].
        attention_mask: [1, 1, S, S], added to the scores.
        scaling: 1 / sqrt(d).

    Returns:
        [N, S, heads, d], and no weights.
    """
    del module
    scores = torch.matmul(query * scaling, key.transpose(-1, -2))
    if attention_mask is not None:
        scores = scores + attention_mask
    return torch.matmul(torch.softmax(scores, dim=-1), value).transpose(1, 2), None


AttentionInterface.register(ATTENTION, export_attention)


def unit(rows: Tensor) -> Tensor:
    """Scale each row to length 1."""
    length: Tensor = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return rows / length


class VisionTower(nn.Module, ABC):
    """UINT8 [N, H, W, 3] to FP32 [N, D] of length 1."""

    def __init__(self, model: Any, mean: tuple[float, ...], std: tuple[float, ...], rescale: float) -> None:
        super().__init__()
        self.vision = model.vision_model
        scale = torch.tensor([rescale / value for value in std])
        shift = torch.tensor([-middle / value for middle, value in zip(mean, std, strict=True)])
        self.register_buffer("pixel_scale", scale.view(1, 3, 1, 1))
        self.register_buffer("pixel_shift", shift.view(1, 3, 1, 1))

    @abstractmethod
    def pooled(self, pixels: Tensor) -> Tensor:
        """Return the embedding, of any length, of normalised pixels [N, 3, H, W]."""

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Cast before the transpose: TensorRT takes UINT8 only as an input that is cast at once."""
        pixels = pixel_values.to(torch.float32).permute(0, 3, 1, 2)
        scale: Tensor = self.pixel_scale  # type: ignore[assignment]
        shift: Tensor = self.pixel_shift  # type: ignore[assignment]
        return unit(self.pooled(pixels * scale + shift))


class ClipVisionTower(VisionTower):
    """The class token through the projection."""

    def __init__(self, model: Any, mean: tuple[float, ...], std: tuple[float, ...], rescale: float) -> None:
        super().__init__(model, mean, std, rescale)
        self.projection = model.visual_projection

    def pooled(self, pixels: Tensor) -> Tensor:
        """Follow CLIPVisionModel.forward."""
        hidden = self.vision.pre_layrnorm(self.vision.embeddings(pixels))
        hidden = self.vision.encoder(inputs_embeds=hidden).last_hidden_state
        return self.projection(self.vision.post_layernorm(hidden[:, 0, :]))  # type: ignore[no-any-return]


class SiglipVisionTower(VisionTower):
    """Attention pooling; SigLIP has no projection."""

    def pooled(self, pixels: Tensor) -> Tensor:
        """Follow SiglipVisionModel.forward."""
        return self.vision(pixel_values=pixels).pooler_output  # type: ignore[no-any-return]


class NaflexVisionTower(VisionTower):
    """SigLIP2 NaFlex on squares of one size: patches are cut here, and positions resized once."""

    def __init__(
        self, model: Any, mean: tuple[float, ...], std: tuple[float, ...], rescale: float, image_size: int
    ) -> None:
        super().__init__(model, mean, std, rescale)
        embeddings = model.vision_model.embeddings
        self.patch = embeddings.patch_size
        self.grid = image_size // self.patch
        known = embeddings.position_embedding_size
        with torch.no_grad():
            positions = embeddings.resize_positional_embeddings(
                embeddings.position_embedding.weight.reshape(known, known, -1),
                torch.tensor([[self.grid, self.grid]]),
                max_length=self.grid**2,
            )
        self.register_buffer("positions", positions)

    def pooled(self, pixels: Tensor) -> Tensor:
        """Follow Siglip2VisionModel.forward, where no patch is padding."""
        cells = pixels.reshape(-1, 3, self.grid, self.patch, self.grid, self.patch).permute(0, 2, 4, 3, 5, 1)
        patches = cells.reshape(-1, self.grid**2, 3 * self.patch**2)
        hidden = self.vision.embeddings.patch_embedding(patches) + self.positions
        hidden = self.vision.encoder(inputs_embeds=hidden, attention_mask=None).last_hidden_state
        return self.vision.head(self.vision.post_layernorm(hidden), None)  # type: ignore[no-any-return]


class TextTower(nn.Module, ABC):
    """INT32 ids [N, S] and INT32 eot_index [N, 1] to FP32 [N, D] of length 1.

    Pools by gathering at `eot_index`: searching the ids for their greatest fails in FP16, where 49406 and 49407 are
    the same number.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.text = model.text_model

    @abstractmethod
    def mask(self, length: int) -> Tensor | None:
        """Return what is added to the attention scores."""

    @abstractmethod
    def project(self, rows: Tensor) -> Tensor:
        """Take the pooled rows to the space that both towers share."""

    def forward(self, input_ids: Tensor, eot_index: Tensor) -> Tensor:
        """Embed, encode, gather, project."""
        hidden = self.text.embeddings(input_ids=input_ids)
        hidden = self.text.encoder(
            inputs_embeds=hidden, attention_mask=self.mask(input_ids.shape[1])
        ).last_hidden_state
        index = eot_index.to(torch.int64)[:, :, None].expand(-1, 1, hidden.shape[2])
        rows = torch.gather(hidden, 1, index)[:, 0]
        return unit(self.project(self.text.final_layer_norm(rows)))


class ClipTextTower(TextTower):
    """Causal; no attention mask for padding is needed, since padding follows the token that is pooled."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.projection = model.text_projection
        length = model.config.text_config.max_position_embeddings
        self.register_buffer("causal", torch.triu(torch.full((1, 1, length, length), MASKED), diagonal=1))

    def mask(self, length: int) -> Tensor | None:
        """Return the causal mask of the first `length` positions."""
        causal: Tensor = self.causal  # type: ignore[assignment]
        return causal[:, :, :length, :length]

    def project(self, rows: Tensor) -> Tensor:
        """CLIPModel.text_projection."""
        return self.projection(rows)  # type: ignore[no-any-return]


class SiglipTextTower(TextTower):
    """Sees every position, padding too, as SigLIP was trained."""

    def mask(self, length: int) -> Tensor | None:
        """No mask."""
        del length
        return None

    def project(self, rows: Tensor) -> Tensor:
        """SiglipTextModel.head."""
        return self.text.head(rows)  # type: ignore[no-any-return]
