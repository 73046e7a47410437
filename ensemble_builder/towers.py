"""The two towers of a model as modules whose inputs and outputs are the ones that Triton sees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.masking_utils import bidirectional_mask_function, sdpa_mask

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


def export_mask(
    *, mask_function: Any, attention_mask: Tensor | None = None, dtype: torch.dtype = torch.float32, **options: Any
) -> Tensor:
    """Return what is added to the scores, for models that make their own mask of a row's attention mask.

    transformers' own mask for such attention holds the least number of FP32, which has no place in FP16.

    Args:
        mask_function: Which tokens may see which, apart from padding.
        attention_mask: [N, S], true where a token is no padding.
        dtype: Of the scores.
        options: transformers' sizes and offsets.

    Returns:
        [N, 1, S or 1, S].
    """
    if mask_function is bidirectional_mask_function and attention_mask is not None:
        seen = attention_mask[:, None, None, :]
    else:
        options.update(allow_is_bidirectional_skip=False, allow_is_causal_skip=False)
        seen = sdpa_mask(mask_function=mask_function, attention_mask=attention_mask, **options)
    return (1 - seen.to(dtype)) * MASKED


AttentionInterface.register(ATTENTION, export_attention)
AttentionMaskInterface.register(ATTENTION, export_mask)


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


class PooledVisionTower(VisionTower):
    """Any model's own pooled output through the projection."""

    def __init__(self, model: Any, mean: tuple[float, ...], std: tuple[float, ...], rescale: float) -> None:
        super().__init__(model, mean, std, rescale)
        self.projection = model.visual_projection
        leave_out_open_gates(self.vision)

    def pooled(self, pixels: Tensor) -> Tensor:
        """Follow VisionTextDualEncoderModel.get_image_features."""
        return self.projection(self.vision(pixel_values=pixels).pooler_output)  # type: ignore[no-any-return]


def leave_out_open_gates(vision: nn.Module) -> None:
    """Leave out each squeeze-and-excite of an EfficientNet that lets everything through.

    EfficientNet-Lite has none, and is EfficientNet with gates whose weights are nought and whose sigmoid is 1.
    """
    for module in vision.modules():
        gate = getattr(module, "squeeze_excite", None)
        if isinstance(gate, nn.Module) and hasattr(gate, "expand") and _is_open(gate.expand):
            module.squeeze_excite = nn.Identity()


def _is_open(layer: nn.Module) -> bool:
    weight, bias = layer.weight, layer.bias
    return bool((weight == 0).all()) and bool((torch.sigmoid(bias) == 1).all())


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


class MaskedTextTower(nn.Module):
    """INT32 ids [N, S] and INT32 eot_index [N, 1] to FP32 [N, D] of length 1, for towers that see both ways.

    What follows a text's last token is masked here, so that the bucket it is padded to does not change its embedding.
    """

    def __init__(self, model: Any, pooling: str) -> None:
        """Prepare for `pooling`: "pooler" (the model's own pooled output), "first_token" or "mean"."""
        super().__init__()
        self.text = model.text_model
        self.projection = model.text_projection
        self.pooling = pooling

    def forward(self, input_ids: Tensor, eot_index: Tensor) -> Tensor:
        """Mask, encode, pool, project."""
        seen = torch.arange(input_ids.shape[1], dtype=torch.int32)[None, :] <= eot_index
        output = self.text(input_ids=input_ids.to(torch.int64), attention_mask=seen)
        return unit(self.projection(pooled_text(output, seen, self.pooling)))


def pooled_text(output: Any, seen: Tensor, pooling: str) -> Tensor:
    """Pool the output of a text model, where `seen` [N, S] tells tokens from padding."""
    if pooling == "pooler":
        return output.pooler_output  # type: ignore[no-any-return]
    hidden: Tensor = output.last_hidden_state
    if pooling == "first_token":
        return hidden[:, 0]
    weights = seen.to(hidden.dtype)[:, :, None]
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)


def attend_as_published(model: nn.Module) -> None:
    """Let every part of a model that attends do so by torch's own attention again; EfficientNet, say, does not."""
    for part in model.modules():
        if part is not model and isinstance(part, PreTrainedModel) and part._supports_sdpa:
            part.set_attn_implementation("sdpa")
