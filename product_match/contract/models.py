"""The models and ensembles of the repository, as functions of the encoder they are built for."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from product_match.contract import limits
from product_match.contract.encoder import EncoderSpec
from product_match.contract.feedback import BEST_RATING, EVENTS, LEAST_RATING
from product_match.contract.tensors import Dtype, TensorSpec

IMAGE_PREPROCESS: Final = "image_preprocess"
TEXT_PREPROCESS: Final = "text_preprocess"
IMAGE_ENCODER: Final = "image_encoder"
TEXT_ENCODER: Final = "text_encoder"
RETRIEVAL: Final = "retrieval"
INDEXING: Final = "indexing"
CATALOGUE: Final = "catalogue"
FEEDBACK: Final = "feedback"
PRODUCT_MATCH: Final = "product_match"
PRODUCT_MATCH_IMAGE: Final = "product_match_image"
PRODUCT_MATCH_TEXT: Final = "product_match_text"
PRODUCT_INDEX: Final = "product_index"
EMBED_IMAGE: Final = "embed_image"
EMBED_TEXT: Final = "embed_text"

STANDING: Final = (CATALOGUE, FEEDBACK)
"""Models that clients call by themselves; they keep their names when the encoder changes."""

IMAGE_BYTES: Final = TensorSpec(
    name="image_bytes",
    dtype=Dtype.BYTES,
    dims=(1,),
    meaning="One encoded photo (JPEG, PNG, WebP, GIF, BMP, TIFF).",
)
QUERY_TEXT: Final = TensorSpec(name="query_text", dtype=Dtype.BYTES, dims=(1,), meaning="Words, UTF-8.")
PRODUCT: Final = TensorSpec(
    name="product",
    dtype=Dtype.BYTES,
    dims=(1,),
    meaning='One product, a JSON object; or {"image_of": "<id>"}, a further photo of the product in the row before.',
)
IMAGE_GIVEN: Final = TensorSpec(
    name="image_given", dtype=Dtype.BOOL, dims=(1,), meaning="False where the row's photo was empty."
)
TEXT_GIVEN: Final = TensorSpec(
    name="text_given", dtype=Dtype.BOOL, dims=(1,), meaning="False where the row's words were empty."
)
EOT_INDEX: Final = TensorSpec(
    name="eot_index", dtype=Dtype.INT32, dims=(1,), meaning="Position that the text encoder pools at."
)
MATCHES: Final = TensorSpec(
    name="matches",
    dtype=Dtype.BYTES,
    dims=(1,),
    meaning="One JSON document: the matches of the row, best first.",
)
RECEIPT: Final = TensorSpec(
    name="receipt",
    dtype=Dtype.BYTES,
    dims=(1,),
    meaning="One JSON document: what was done; of a product, its id and rev.",
)
COMMAND: Final = TensorSpec(
    name="command", dtype=Dtype.BYTES, dims=(1,), meaning='One JSON object, such as {"operation": "count"}.'
)
RESULT: Final = TensorSpec(name="result", dtype=Dtype.BYTES, dims=(1,), meaning="One JSON document: the answer.")
FEEDBACK_TOKEN: Final = TensorSpec(
    name="feedback_token", dtype=Dtype.BYTES, dims=(1,), meaning="The `feedback_token` of an answer."
)
PRODUCT_ID: Final = TensorSpec(
    name="product_id", dtype=Dtype.BYTES, dims=(1,), meaning="Id of a product of that answer."
)
FEEDBACK_SAID: Final = TensorSpec(
    name="feedback",
    dtype=Dtype.BYTES,
    dims=(1,),
    meaning=f"A rating from `{LEAST_RATING}` to `{BEST_RATING}`, or {', '.join(f'`{event}`' for event in EVENTS)}.",
)


def pixel_values(encoder: EncoderSpec) -> TensorSpec:
    """UINT8 [H, W, 3], RGB, 0 to 255; mean, std and layout are inside the encoder."""
    side = encoder.image_size_px
    return TensorSpec(name="pixel_values", dtype=Dtype.UINT8, dims=(side, side, 3), meaning="RGB pixels, 0 to 255.")


def input_ids(encoder: EncoderSpec) -> TensorSpec:
    """INT32 [S], S one of the encoder's buckets."""
    dims = (-1,) if len(encoder.text_buckets) > 1 else (encoder.context_length,)
    return TensorSpec(name="input_ids", dtype=Dtype.INT32, dims=dims, meaning="Token ids, padded to a bucket length.")


def image_embeds(encoder: EncoderSpec) -> TensorSpec:
    """FP32 [D], L2 norm 1."""
    return TensorSpec(
        name="image_embeds",
        dtype=Dtype.FP32,
        dims=(encoder.embedding_dim,),
        meaning="Embedding of the photo, norm 1.",
    )


def text_embeds(encoder: EncoderSpec) -> TensorSpec:
    """FP32 [D], L2 norm 1."""
    return TensorSpec(
        name="text_embeds",
        dtype=Dtype.FP32,
        dims=(encoder.embedding_dim,),
        meaning="Embedding of the words, norm 1.",
    )


class Role(enum.Enum):
    """What kind of part a composing model is; the target decides the backend of an encoder."""

    PYTHON = "python"
    ENCODER = "encoder"


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """One composing model.

    Attributes:
        name: Folder name in the model repository.
        role: PYTHON runs on the CPU in every target; ENCODER is native TensorRT in production.
        inputs: In the order of the config.
        outputs: In the order of the config.
        max_batch_size: Rows in one Triton batch.
        instance_count: Processes (python) or execution contexts (TensorRT).
        cached: True if Triton's response cache may answer for it.
        meaning: One line for the README.
    """

    name: str
    role: Role
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    meaning: str
    max_batch_size: int = limits.MAX_BATCH_SIZE
    instance_count: int = 1
    cached: bool = False


@dataclass(frozen=True, kw_only=True)
class EnsembleSpec:
    """One ensemble: its tensors, and the composing models it runs; tensors join by name."""

    name: str
    steps: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    meaning: str
    max_batch_size: int = limits.MAX_BATCH_SIZE


def _optional(spec: TensorSpec) -> TensorSpec:
    return TensorSpec(name=spec.name, dtype=spec.dtype, dims=spec.dims, meaning=spec.meaning, optional=True)


def composing_models(encoder: EncoderSpec) -> tuple[ModelSpec, ...]:
    """Return every composing model for `encoder`, in the order that requests meet them."""
    pixels, ids = pixel_values(encoder), input_ids(encoder)
    image, text = image_embeds(encoder), text_embeds(encoder)
    return (
        ModelSpec(
            name=IMAGE_PREPROCESS,
            role=Role.PYTHON,
            inputs=(IMAGE_BYTES,),
            outputs=(pixels, IMAGE_GIVEN),
            meaning="Decodes, turns upright, resizes and crops photos.",
        ),
        ModelSpec(
            name=TEXT_PREPROCESS,
            role=Role.PYTHON,
            # The photo's flag is not read. It only puts the words after the photo where both are given: Triton 2.51
            # frees a request's memory when the first of two parallel steps fails, and the second still reads it.
            inputs=(QUERY_TEXT, _optional(IMAGE_GIVEN)),
            outputs=(ids, EOT_INDEX, TEXT_GIVEN),
            meaning="Tokenises words and pads them to a bucket.",
        ),
        ModelSpec(
            name=IMAGE_ENCODER,
            role=Role.ENCODER,
            inputs=(pixels,),
            outputs=(image,),
            cached=True,
            meaning="CLIP's image tower, projection and norm.",
        ),
        ModelSpec(
            name=TEXT_ENCODER,
            role=Role.ENCODER,
            inputs=(ids, EOT_INDEX),
            outputs=(text,),
            cached=True,
            meaning="CLIP's text tower, projection and norm.",
        ),
        ModelSpec(
            name=RETRIEVAL,
            role=Role.PYTHON,
            inputs=(
                *(_optional(image), _optional(IMAGE_GIVEN)),
                *(_optional(text), _optional(TEXT_GIVEN), _optional(QUERY_TEXT)),
            ),
            outputs=(MATCHES,),
            meaning="One vector query batch and one document query for each Triton batch; ranks and joins.",
        ),
        ModelSpec(
            name=INDEXING,
            role=Role.PYTHON,
            inputs=(PRODUCT, IMAGE_BYTES, QUERY_TEXT, image, IMAGE_GIVEN, text, TEXT_GIVEN),
            outputs=(RECEIPT,),
            meaning="Writes products to the document store in one bulk call for each Triton batch.",
        ),
        ModelSpec(
            name=CATALOGUE,
            role=Role.PYTHON,
            inputs=(COMMAND,),
            outputs=(RESULT,),
            meaning="Reads, changes, removes, counts and verifies products.",
        ),
        ModelSpec(
            name=FEEDBACK,
            role=Role.PYTHON,
            inputs=(FEEDBACK_TOKEN, PRODUCT_ID, FEEDBACK_SAID),
            outputs=(RECEIPT,),
            meaning="Records what a person thought of a product of an answer.",
        ),
    )


def ensembles(encoder: EncoderSpec) -> tuple[EnsembleSpec, ...]:
    """Return the ensembles for `encoder`."""
    image_steps, text_steps = (IMAGE_PREPROCESS, IMAGE_ENCODER), (TEXT_PREPROCESS, TEXT_ENCODER)
    return (
        EnsembleSpec(
            name=PRODUCT_MATCH,
            steps=(*image_steps, *text_steps, RETRIEVAL),
            inputs=(IMAGE_BYTES, QUERY_TEXT),
            outputs=(MATCHES,),
            meaning="Photo and words; an empty one means that it is not given.",
        ),
        EnsembleSpec(
            name=PRODUCT_MATCH_IMAGE,
            steps=(*image_steps, RETRIEVAL),
            inputs=(IMAGE_BYTES,),
            outputs=(MATCHES,),
            meaning="Photo only.",
        ),
        EnsembleSpec(
            name=PRODUCT_MATCH_TEXT,
            steps=(*text_steps, RETRIEVAL),
            inputs=(QUERY_TEXT,),
            outputs=(MATCHES,),
            meaning="Words only.",
        ),
        EnsembleSpec(
            name=EMBED_IMAGE,
            steps=image_steps,
            inputs=(IMAGE_BYTES,),
            outputs=(image_embeds(encoder),),
            meaning="The photo's vector alone.",
        ),
        EnsembleSpec(
            name=EMBED_TEXT,
            steps=text_steps,
            inputs=(QUERY_TEXT,),
            outputs=(text_embeds(encoder),),
            meaning="The words' vector alone.",
        ),
        EnsembleSpec(
            name=PRODUCT_INDEX,
            steps=(*image_steps, *text_steps, INDEXING),
            inputs=(PRODUCT, IMAGE_BYTES, QUERY_TEXT),
            outputs=(RECEIPT,),
            meaning="Adds or updates one product; an empty photo or empty words mean that it has none.",
        ),
    )


def composing_model(encoder: EncoderSpec, name: str) -> ModelSpec:
    """Return one composing model by name."""
    models: Mapping[str, ModelSpec] = {model.name: model for model in composing_models(encoder)}
    return models[name]
