"""What serving needs to know of an encoder: the content of `encoder.json` in an encoder directory.

An encoder directory is what `ensemble-builder build` leaves behind and what a server starts from:

    encoder.json            this declaration
    image_encoder.onnx      or image_encoder.plan for TensorRT
    text_encoder.onnx       or text_encoder.plan
    tokenizer.json          the checkpoint's own tokenizer
    build.json              the report of the build
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from product_match.contract.errors import ConfigError

ENCODER_FILE: Final = "encoder.json"
TOKENIZER_FILE: Final = "tokenizer.json"
BUILD_FILE: Final = "build.json"
IMAGE_ONNX_FILE: Final = "image_encoder.onnx"
TEXT_ONNX_FILE: Final = "text_encoder.onnx"

Interpolation = Literal["bicubic", "bilinear", "lanczos"]
ResizeMode = Literal["shortest_edge_crop", "squash"]
TextPooling = Literal["end_of_text", "last_token", "first_token", "mean"]


@dataclass(frozen=True, kw_only=True)
class SimilarityScale:
    """How to read a cosine between a query side and a product vector.

    Cosines of image-image, text-image and text-text pairs lie in different ranges (CLIP's modality gap), so each
    is mapped linearly: `background` (the mean over unrelated pairs) becomes 0, `match` (the same photo or the same
    words; across kinds, the best pairs) becomes 1. A linear map keeps a weighted sum of query vectors exact under
    vector search.
    """

    background: float
    match: float

    def __post_init__(self) -> None:
        """Check the order."""
        if not (math.isfinite(self.background) and math.isfinite(self.match) and self.match > self.background):
            raise ConfigError(
                f"similarity scale: match must be finite and above background, got match={self.match}, "
                f"background={self.background}; build the encoder directory again"
            )


@dataclass(frozen=True, kw_only=True)
class SimilarityScales:
    """One scale for each pair of query side and product vector, measured when the encoder is built."""

    image_to_image: SimilarityScale
    image_to_text: SimilarityScale
    text_to_image: SimilarityScale
    text_to_text: SimilarityScale


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """One pair of encoders.

    Attributes:
        name: The checkpoint's short name, such as "default-encoder".
        revision: First 12 hex digits of the SHA-256 over weights, tokenizer, preprocessing and, below FP32, the
            precision: vectors of different revisions never mix.
        family: "clip", "siglip", "siglip2", "dual", ...: how the builder reads such a checkpoint.
        precision: "fp32", "int8", "fp16", ... of the encoders in the directory.
        image_size_px: Height and width of `pixel_values`.
        resize_mode: "shortest_edge_crop": shortest edge to `resize_size_px`, then a centre crop; "squash": straight
            to the target, whatever the aspect ratio.
        resize_size_px: The shortest edge before the crop (equal to image_size_px in most checkpoints).
        interpolation: Pillow's resampling filter.
        embedding_dim: Length of an embedding.
        text_buckets: Lengths that token rows are padded to, ascending; the last is the context length.
        pad_id: Token id that fills a row.
        text_pooling: Where the text tower pools: at the last token of a text ("end_of_text"), at the last of the row,
            padding included ("last_token", with a single bucket), at the first, or the mean of all of a text.
        lowercase_text: True if the checkpoint wants lower-cased text beyond what its tokenizer does.
        scales: How cosines map to scores.
    """

    name: str
    revision: str
    family: str
    precision: str
    image_size_px: int
    resize_mode: ResizeMode
    resize_size_px: int
    interpolation: Interpolation
    embedding_dim: int
    text_buckets: tuple[int, ...]
    pad_id: int
    text_pooling: TextPooling
    scales: SimilarityScales
    lowercase_text: bool = False

    def __post_init__(self) -> None:
        """Check the values that serving relies on."""
        if (
            not self.text_buckets
            or list(self.text_buckets) != sorted(set(self.text_buckets))
            or self.text_buckets[0] < 2
        ):
            raise ConfigError(
                f"encoder {self.name}: text_buckets must ascend and start at 2 or more, got {self.text_buckets}"
            )
        for field in ("image_size_px", "resize_size_px", "embedding_dim"):
            if getattr(self, field) < 1:
                raise ConfigError(f"encoder {self.name}: {field} must be at least 1, got {getattr(self, field)}")

    @property
    def identity(self) -> str:
        """`name@revision`, which documents, collections and answers carry."""
        return f"{self.name}@{self.revision}"

    def at_precision(self, precision: str) -> EncoderSpec:
        """Return the declaration of the same encoders in another precision than FP32: others, to a catalogue.

        The same weights give other vectors there, if not by much: a catalogue holds those of one precision, and to
        serve it with another is a change of encoder.
        """
        revision = hashlib.sha256(f"{self.revision}:{precision}".encode()).hexdigest()[:12]
        return dataclasses.replace(self, precision=precision, revision=revision)

    @property
    def context_length(self) -> int:
        """Most tokens in one row, start and end included."""
        return self.text_buckets[-1]

    def to_json(self) -> str:
        """Return the text of `encoder.json`."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


def parse_encoder(text: str, source: str) -> EncoderSpec:
    """Read the text of an `encoder.json`.

    Args:
        text: JSON.
        source: Where it came from, for the message.

    Raises:
        ConfigError: The text is not JSON, or a field is missing, unknown or wrong.
    """
    try:
        fields: dict[str, Any] = json.loads(text)
        scales = {name: SimilarityScale(**scale) for name, scale in fields.pop("scales").items()}
        buckets = tuple(fields.pop("text_buckets"))
        return EncoderSpec(**fields, text_buckets=buckets, scales=SimilarityScales(**scales))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"{source} is not an encoder declaration of this version ({error}); "
            "build it again with `ensemble-builder build`"
        ) from error


def load_encoder(directory: Path) -> EncoderSpec:
    """Read `encoder.json` of an encoder directory.

    Raises:
        ConfigError: The file is missing or wrong.
    """
    path = directory / ENCODER_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{directory} is not an encoder directory: {ENCODER_FILE} cannot be read ({error.strerror}); "
            "make one with `ensemble-builder build`"
        ) from error
    return parse_encoder(text, str(path))
