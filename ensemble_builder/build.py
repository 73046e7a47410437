"""A checkpoint to an encoder directory, checked on the way."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import onnx

from ensemble_builder import parity, preprocessing_parity, retrieval_quality
from ensemble_builder.checkpoint import Checkpoint, open_checkpoint
from ensemble_builder.embeddings import Encoders, Samples, load_samples
from ensemble_builder.engines import build_plans, this_machine
from ensemble_builder.export import OPSET, export_image, export_text, load_model, save
from ensemble_builder.families import family_of
from ensemble_builder.family import Family, TextRules
from ensemble_builder.image_rules import ImageRules, image_rules, load_image_processor
from ensemble_builder.photos import Photo, sample_photos, user_photos
from ensemble_builder.precisions import PRECISIONS, Calibration, lower_precision
from ensemble_builder.report import BuildReport
from ensemble_builder.repository import assemble_embedded, assemble_production
from ensemble_builder.staging import staged
from ensemble_builder.tokenization import load_tokenizer, tokenizer_json
from ensemble_builder.verification import write_reference
from ensemble_builder.weights import SHARED_WEIGHTS_FILE, share_weights
from product_match.contract.encoder import (
    BUILD_FILE,
    ENCODER_FILE,
    IMAGE_ONNX_FILE,
    TEXT_ONNX_FILE,
    TOKENIZER_FILE,
    EncoderSpec,
)
from product_match.contract.errors import BuildError, EngineError
from product_match.contract.limits import MAX_BATCH_SIZE

logger = logging.getLogger(__name__)

GATED: Final = frozenset({"int8", "fp8"})
"""Precisions whose quality is measured in retrieval, rather than by the cosine with the checkpoint."""
GREATEST_BATCH_SIZE: Final = 256


@dataclass(frozen=True, kw_only=True)
class BuildRequest:
    """What the user asked for.

    Attributes:
        checkpoint: Folder or hub id.
        out: The encoder directory to make; replaced if it is one already.
        target: "embedded" or "tensorrt".
        precision: One of PRECISIONS[target].
        name: The encoder's short name; the checkpoint's by default.
        text_buckets: Lengths that rows are padded to; the family's by default.
        share_weights: Keep the weights once, in weights.safetensors, which both ONNX files read.
        photos: Folder of the user's own photos; the sample catalogue's by default.
        captions: Their words and labels.
        max_batch_size: TensorRT: greatest batch of an encoder.
        repository: Assemble the model repository too; for TensorRT only where there is a GPU to build engines on.
    """

    checkpoint: str
    out: Path
    target: str = "embedded"
    precision: str = "fp32"
    name: str | None = None
    text_buckets: tuple[int, ...] | None = None
    share_weights: bool = False
    photos: Path | None = None
    captions: Path | None = None
    max_batch_size: int = MAX_BATCH_SIZE
    repository: bool = True

    def __post_init__(self) -> None:
        """Check what fits together."""
        if self.target not in PRECISIONS:
            raise BuildError(f"target {self.target!r} is unknown; choose one of {', '.join(PRECISIONS)}")
        precisions = PRECISIONS[self.target]
        if self.precision not in precisions:
            raise BuildError(
                f"target {self.target} has no precision {self.precision!r}; choose one of {', '.join(precisions)}"
            )
        if self.share_weights and (self.target, self.precision) != ("embedded", "fp32"):
            raise BuildError(
                "--share-weights works for embedded FP32 only: other precisions have weights of their own"
            )
        if self.captions and not self.photos:
            raise BuildError("--captions describes the photos of --photos; give both")
        if not 1 <= self.max_batch_size <= GREATEST_BATCH_SIZE:
            raise BuildError(f"--max-batch-size must be from 1 to {GREATEST_BATCH_SIZE}, got {self.max_batch_size}")


def build(request: BuildRequest) -> tuple[EncoderSpec, BuildReport]:
    """Build, check and put in place; a build that fails leaves `request.out` as it was.

    Raises:
        BuildError: One of its kinds, for what is wrong.
    """
    report = BuildReport()
    checkpoint = open_checkpoint(request.checkpoint, request.name)
    with staged(request.out) as directory:
        spec = _Build(request, checkpoint, directory, report).run()
        (directory / ENCODER_FILE).write_text(spec.to_json(), encoding="utf-8")
        if request.repository and request.target == "embedded":
            assemble_embedded(spec, directory)
        if request.target == "tensorrt":
            _make_engines(request, spec, directory, report)
        (directory / BUILD_FILE).write_text(report.to_json(directory), encoding="utf-8")
    return spec, report


def _make_engines(request: BuildRequest, spec: EncoderSpec, directory: Path, report: BuildReport) -> None:
    """Build the engines and their model repository, where this machine has what it takes."""
    try:
        trt, capability = this_machine()
    except EngineError as error:
        logger.debug("no engines are built: %s", error)
        report.notes.append(
            f"engines are built on the GPU that serves: ensemble-builder engines --directory {request.out}"
        )
        return
    with report.timed("engines"):
        plans = build_plans(spec, directory, trt, capability, request.max_batch_size)
    report.facts["engines"] = {"tensorrt": trt.__version__, "capability": capability}
    if request.repository:
        assemble_production(spec, directory, plans, request.max_batch_size)


class _Build:
    """One build: its stages share the model, the declaration and the report."""

    def __init__(self, request: BuildRequest, checkpoint: Checkpoint, directory: Path, report: BuildReport) -> None:
        self._request = request
        self._checkpoint = checkpoint
        self._directory = directory
        self._report = report
        self._family: Family = family_of(checkpoint)
        self._processor = load_image_processor(checkpoint)
        self._rules: ImageRules = image_rules(checkpoint, self._processor)
        self._family.check_shapes(checkpoint, self._rules)
        self._photos: Sequence[Photo] = (
            user_photos(request.photos, request.captions) if request.photos else sample_photos()
        )

    def run(self) -> EncoderSpec:
        """Run the stages and return the declaration of what was built."""
        tokenizer = load_tokenizer(self._checkpoint)
        vocabulary = tokenizer_json(self._checkpoint, tokenizer)
        (self._directory / TOKENIZER_FILE).write_text(vocabulary, encoding="utf-8")
        logger.info("loading %s", self._checkpoint.source)
        with self._report.timed("load"):
            model = load_model(self._checkpoint, self._family.unused_weights(self._checkpoint))
        self._family.check_model(model)
        texts = self._family.text_rules(self._checkpoint, tokenizer, self._request.text_buckets)
        spec = encoder_spec(
            checkpoint=self._checkpoint,
            family=self._family,
            images=self._rules,
            texts=texts,
            pad_id=int(tokenizer.pad_token_id),
            vocabulary=vocabulary,
            embedding_dim=self._family.embedding_dim(model),
        )
        self._record(spec)
        logger.info("exporting both towers")
        with self._report.timed("export"):
            self._export(model, spec)
        logger.info("comparing with the checkpoint")
        model.set_attn_implementation("sdpa")
        with self._report.timed("parity"):
            encoders = Encoders.load(self._directory)
            self._check(model, tokenizer, spec, encoders)
        samples = load_samples(self._photos, spec, self._directory) if self._photos else None
        if self._request.target == "tensorrt" and samples is not None and samples.has_words:
            write_reference(self._directory, encoders, samples)
        if self._request.precision != "fp32":
            spec, encoders = self._lower(model, tokenizer, spec, encoders, samples)
        return self._with_scales(spec, encoders, samples)

    def _record(self, spec: EncoderSpec) -> None:
        self._report.facts.update(
            {
                "encoder": spec.identity,
                "family": spec.family,
                "target": self._request.target,
                "precision": self._request.precision,
                "max_batch_size": self._request.max_batch_size,
                "opset": OPSET,
                "built_at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                "checkpoint": {
                    "name": self._checkpoint.name,
                    "weights_sha256": self._checkpoint.weights_sha256,
                },
                "image_mean": self._rules.mean,
                "image_std": self._rules.std,
            }
        )

    def _export(self, model: Any, spec: EncoderSpec) -> None:
        image_tower, text_tower = self._family.towers(model, self._rules)
        save(export_image(image_tower, spec), self._directory / IMAGE_ONNX_FILE)
        save(export_text(text_tower, spec), self._directory / TEXT_ONNX_FILE)
        if self._request.share_weights:
            _share(self._directory, self._checkpoint)

    def _check(self, model: Any, tokenizer: Any, spec: EncoderSpec, encoders: Encoders) -> None:
        """Compare encoders with the checkpoint, from names to embeddings of photos and words."""
        parity.check_declaration(self._directory, spec)
        shared = {"family": self._family, "model": model, "spec": spec, "encoders": encoders, "report": self._report}
        parity.check_values(rules=self._rules, **shared)
        preprocessing_parity.check_tokens(tokenizer=tokenizer, directory=self._directory, **shared)
        preprocessing_parity.check_pixels(processor=self._processor, rules=self._rules, photos=self._photos, **shared)

    def _lower(
        self, model: Any, tokenizer: Any, spec: EncoderSpec, full: Encoders, samples: Samples | None
    ) -> tuple[EncoderSpec, Encoders]:
        """Make the lower precision and hold it to its limits."""
        precision = self._request.precision
        if samples is None or not samples.has_words:
            raise BuildError(
                f"precision {precision} is calibrated on photos and their words, and there are none; give a folder "
                "with --photos and words with --captions"
            )
        with self._report.timed("precision"):
            before = retrieval_quality.embed(full, samples)
            lower_precision(self._directory, self._request.target, precision, Calibration.of(samples), self._report)
        spec = dataclasses.replace(spec, precision=precision)
        with self._report.timed("quality"):
            encoders = Encoders.load(self._directory, optimised=self._request.target == "embedded")
            self._report.section(precision.upper())
            if precision in GATED:
                parity.check_declaration(self._directory, spec)
                after = retrieval_quality.embed(encoders, samples)
                retrieval_quality.check_retrieval(before, after, self._report, precision.upper())
            else:
                self._check(model, tokenizer, spec, encoders)
        return spec, encoders

    def _with_scales(self, spec: EncoderSpec, encoders: Encoders, samples: Samples | None) -> EncoderSpec:
        """Measure the similarity scales on the encoders that are served."""
        if samples is None:
            self._report.notes.append("similarity scales are the family's defaults, as there are no photos")
            return spec
        with self._report.timed("scales"):
            embedded = retrieval_quality.embed(encoders, samples)
        return dataclasses.replace(spec, scales=retrieval_quality.measure_scales(embedded, spec.scales, self._report))


def encoder_spec(
    *,
    checkpoint: Checkpoint,
    family: Family,
    images: ImageRules,
    texts: TextRules,
    pad_id: int,
    vocabulary: str,
    embedding_dim: int,
) -> EncoderSpec:
    """Return the declaration of the FP32 encoders of a checkpoint, with the family's similarity scales."""
    digest = hashlib.sha256(checkpoint.weights_sha256.encode())
    digest.update(hashlib.sha256(vocabulary.encode()).digest())
    digest.update(repr((dataclasses.astuple(images), texts.text_pooling, texts.lowercase_text, pad_id)).encode())
    return EncoderSpec(
        name=checkpoint.name,
        revision=digest.hexdigest()[:12],
        family=family.name,
        precision="fp32",
        image_size_px=images.image_size_px,
        resize_mode=images.resize_mode,
        resize_size_px=images.resize_size_px,
        interpolation=images.interpolation,
        embedding_dim=embedding_dim,
        text_buckets=texts.text_buckets,
        pad_id=pad_id,
        text_pooling=texts.text_pooling,
        scales=family.default_scales,
        lowercase_text=texts.lowercase_text,
    )


def _share(directory: Path, checkpoint: Checkpoint) -> None:
    if len(checkpoint.weight_files) != 1 or not checkpoint.has_safetensors:
        raise BuildError(
            f"checkpoint {checkpoint.directory}: --share-weights needs one safetensors file, this has "
            f"{', '.join(path.name for path in checkpoint.weight_files)}; leave the flag out"
        )
    weights = directory / SHARED_WEIGHTS_FILE
    shutil.copyfile(checkpoint.weight_files[0], weights)
    for file in (IMAGE_ONNX_FILE, TEXT_ONNX_FILE):
        model = onnx.load(str(directory / file))
        share_weights(model, weights)
        save(model, directory / file)
