"""A checkpoint to an encoder directory, checked on the way."""

from __future__ import annotations

import dataclasses
import datetime
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import onnx

from ensemble_builder import parity, preprocessing_parity, retrieval_quality
from ensemble_builder.checkpoint import Checkpoint
from ensemble_builder.embeddings import Encoders, Samples, load_samples
from ensemble_builder.engines import build_plans, this_machine
from ensemble_builder.export import OPSET, export_image, export_text, save
from ensemble_builder.photos import Photo, photos_sha256, sample_photos, user_photos
from ensemble_builder.precisions import PRECISIONS, Calibration, lower_precision
from ensemble_builder.preparation import Prepared, prepare
from ensemble_builder.report import BuildReport
from ensemble_builder.repository import assemble_embedded, assemble_production
from ensemble_builder.retrieval_quality import Embedded
from ensemble_builder.staging import staged
from ensemble_builder.towers import attend_as_published
from ensemble_builder.verification import REFERENCE_PHOTOS, note_built, write_reference
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
from product_match.encoding.processors import processor_name

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
        untrained: Take a model that tells nothing apart too, such as one of random weights.
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
    untrained: bool = False

    def options(self) -> dict[str, Any]:
        """Return what was asked for, as plain values, for the report."""
        fields = dataclasses.asdict(self)
        return {name: str(value) if isinstance(value, Path) else value for name, value in fields.items()}

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


def build(request: BuildRequest, report: BuildReport | None = None) -> tuple[EncoderSpec, BuildReport]:
    """Build, check and put in place; a build that fails leaves `request.out` as it was.

    Args:
        request: What to build.
        report: Takes the figures as they are found, so that those of a build that fails can be shown too.

    Raises:
        BuildError: One of its kinds, for what is wrong.
    """
    report = report or BuildReport()
    with staged(request.out) as directory:
        with report.timed("load"):
            prepared = prepare(request.checkpoint, request.name, request.text_buckets)
        spec = _Build(request, prepared, directory, report).run()
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

    def __init__(self, request: BuildRequest, prepared: Prepared, directory: Path, report: BuildReport) -> None:
        self._request = request
        self._prepared = prepared
        self._directory = directory
        self._report = report
        self._photos: Sequence[Photo] = (
            user_photos(request.photos, request.captions) if request.photos else sample_photos()
        )

    def run(self) -> EncoderSpec:
        """Run the stages and return the declaration of what was built."""
        prepared, spec = self._prepared, self._prepared.spec
        (self._directory / TOKENIZER_FILE).write_text(prepared.vocabulary, encoding="utf-8")
        self._record()
        logger.info("exporting both towers")
        with self._report.timed("export"):
            self._export(spec)
        logger.info("comparing with the checkpoint")
        attend_as_published(prepared.model)
        with self._report.timed("parity"):
            encoders = Encoders.load(self._directory)
            self._check(spec, encoders)
        samples = load_samples(self._photos, spec, self._directory) if self._photos else None
        if samples is not None and samples.has_words:
            write_reference(self._directory, encoders, samples)
        embedded = None
        if samples is not None:
            with self._report.timed("quality"):
                embedded = retrieval_quality.embed(encoders, samples)
        if self._request.precision != "fp32":
            spec, embedded = self._lower(spec, samples, embedded)
        return self._judged(spec, embedded)

    def _record(self) -> None:
        checkpoint = self._prepared.checkpoint
        self._report.notes.append(f"texts are lower-cased by {self._prepared.lowering}")
        self._report.facts.update(
            {
                "family": self._prepared.spec.family,
                "opset": OPSET,
                "built_at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                "checkpoint": {
                    "name": checkpoint.name,
                    "source": checkpoint.source,
                    "hub_revision": checkpoint.hub_revision,
                    "weights_sha256": checkpoint.weights_sha256,
                },
                "options": self._request.options(),
                "measured_on": {
                    "photos": str(self._request.photos) if self._request.photos else "the sample catalogue",
                    "count": len(self._photos),
                    "sha256": photos_sha256(self._photos),
                },
                "processor": processor_name(),
                "image_mean": self._prepared.images.mean,
                "image_std": self._prepared.images.std,
            }
        )

    def _export(self, spec: EncoderSpec) -> None:
        prepared = self._prepared
        image_tower, text_tower = prepared.family.towers(prepared.model, prepared.images)
        save(export_image(image_tower, spec), self._directory / IMAGE_ONNX_FILE)
        save(export_text(text_tower, spec), self._directory / TEXT_ONNX_FILE)
        if self._request.share_weights:
            _share(self._directory, prepared.checkpoint)

    def _check(self, spec: EncoderSpec, encoders: Encoders) -> None:
        """Compare encoders with the checkpoint, from names to embeddings of photos and words."""
        prepared = self._prepared
        parity.check_declaration(self._directory, spec)
        shared = {
            "family": prepared.family,
            "model": prepared.model,
            "spec": spec,
            "encoders": encoders,
            "report": self._report,
        }
        parity.check_values(rules=prepared.images, **shared)
        preprocessing_parity.check_tokens(tokenizer=prepared.tokenizer, directory=self._directory, **shared)
        preprocessing_parity.check_pixels(
            processor=prepared.processor, rules=prepared.images, photos=self._photos, **shared
        )

    def _lower(
        self, spec: EncoderSpec, samples: Samples | None, before: Embedded | None
    ) -> tuple[EncoderSpec, Embedded]:
        """Make the lower precision and hold it to its limits."""
        precision, target = self._request.precision, self._request.target
        if samples is None or before is None or not samples.has_words:
            raise BuildError(
                f"precision {precision} is calibrated on photos and their words, and there are none; give a folder "
                "with --photos and words with --captions"
            )
        with self._report.timed("precision"):
            lower_precision(self._directory, target, precision, Calibration.of(samples), self._report)
        spec = spec.at_precision(precision)
        with self._report.timed("lower quality"):
            encoders = Encoders.load(self._directory, optimised=target == "embedded")
            self._report.section(precision.upper())
            after = retrieval_quality.embed(encoders, samples)
            for model, cosine in note_built(self._directory, spec, encoders).items():
                self._report.note_figure(f"{model} on the reference inputs, lowest cosine", cosine, REFERENCE_PHOTOS)
            if precision in GATED:
                parity.check_declaration(self._directory, spec)
                retrieval_quality.check_retrieval(before, after, self._report, precision, target)
            else:
                self._check(spec, encoders)
        return spec, after

    def _judged(self, spec: EncoderSpec, embedded: Embedded | None) -> EncoderSpec:
        """Hold the encoders that are served to what they find, and measure the similarity scales on them."""
        self._report.facts.update({"encoder": spec.identity, "precision": spec.precision})
        if embedded is None:
            self._report.notes.append("similarity scales are the family's defaults, as there are no photos")
            return spec
        retrieval_quality.check_floor(embedded, self._report, untrained=self._request.untrained)
        return dataclasses.replace(spec, scales=retrieval_quality.measure_scales(embedded, spec.scales, self._report))


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
