"""Compare FP32, dynamic INT8 and static INT8 of one encoder directory on ONNX Runtime: speed and retrieval.

    python -m benchmarks.encoder_precision --directory default_encoder/embedded
    python -m benchmarks.encoder_precision --random-b32

The first takes an FP32 directory from `ensemble-builder build`. The second makes a ViT-B/32 with random weights,
whose speed is that of a trained one and whose quality says nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from onnxruntime.quantization.shape_inference import quant_pre_process

from ensemble_builder import embedded_int8
from ensemble_builder.embeddings import Encoders, Samples, load_samples
from ensemble_builder.export import export_image, export_text, save
from ensemble_builder.photos import sample_photos
from ensemble_builder.precisions import Calibration
from ensemble_builder.retrieval_quality import Embedded, embed, neighbours, overlap, precision
from product_match.contract.encoder import IMAGE_ONNX_FILE, TEXT_ONNX_FILE, EncoderSpec, load_encoder

FILES = (IMAGE_ONNX_FILE, TEXT_ONNX_FILE)
METHODS = ("fp32", "dynamic", "static")


def random_b32(directory: Path) -> EncoderSpec:
    """Export a ViT-B/32 with random weights, with the demo's tokenizer and words."""
    import torch
    import transformers

    from ensemble_builder.clip import ClipFamily
    from ensemble_builder.family import ImageRules

    family = ClipFamily()
    fields = json.loads(Path("default_encoder/embedded/encoder.json").read_text(encoding="utf-8"))
    side = {"image_size_px": 224, "resize_size_px": 224, "embedding_dim": 512}
    (directory / "encoder.json").write_text(json.dumps({**fields, **side, "name": "random-b32"}), encoding="utf-8")
    (directory / "tokenizer.json").write_bytes(Path("default_encoder/embedded/tokenizer.json").read_bytes())
    spec = load_encoder(directory)
    rules = ImageRules(
        image_size_px=224,
        resize_mode="shortest_edge_crop",
        resize_size_px=224,
        interpolation="bicubic",
        mean=(0.48, 0.46, 0.41),
        std=(0.27, 0.26, 0.28),
        rescale_factor=1 / 255,
    )
    torch.manual_seed(0)
    model = transformers.CLIPModel(transformers.CLIPConfig()).eval()  # the defaults are ViT-B/32's
    model.set_attn_implementation("product_match_export")
    image, text = family.towers(model, rules)
    save(export_image(image, spec), directory / IMAGE_ONNX_FILE)
    save(export_text(text, spec), directory / TEXT_ONNX_FILE)
    return spec


def quantize_both(source: Path, target: Path, method: str, samples: Samples) -> None:
    """Write the directory of one method."""
    calibration = Calibration.of(samples)
    target.mkdir()
    for file, inputs in zip(FILES, (calibration.images, calibration.texts), strict=True):
        # Folds the casts of a directory with shared weights, which quantisation would stumble over.
        folded = target / f"folded_{file}"
        quant_pre_process(source / file, folded, skip_symbolic_shape=True, skip_onnx_shape=True)
        if method == "fp32":
            folded.rename(target / file)
        else:
            embedded_int8.quantize(folded, target / file, method, inputs[:128])


def rates(runs: dict[str, Callable[[], object]], rows: int, rounds: int) -> dict[str, float]:
    """Return rows a second of each run; the runs take turns, so that other load on the machine hits all alike."""
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            spent[name].append(time.perf_counter() - started)
    return {name: round(rows / statistics.median(values[1:]), 1) for name, values in spent.items()}


def quality(full: Embedded, lower: Embedded) -> dict[str, float]:
    """Return overlap@10 with FP32 and the loss in precision@5, for photos and for words."""
    found = {}
    for name, queries, others, alone in (
        ("photos", full.images, lower.images, True),
        ("words", full.words, lower.words, False),
    ):
        assert queries is not None
        assert others is not None
        before = neighbours(queries, full.images, 10, leave_out_self=alone)
        after = neighbours(others, lower.images, 10, leave_out_self=alone)
        loss = precision(before[:, :5], full.labels) - precision(after[:, :5], full.labels)
        found[f"{name} overlap@10"] = round(overlap(before, after), 4)
        found[f"{name} loss in precision@5"] = round(loss, 4)
    return found


@contextlib.contextmanager
def encoder_directory(arguments: argparse.Namespace) -> Iterator[tuple[Path, EncoderSpec]]:
    """Yield the directory to compare in, and its declaration."""
    if not arguments.random_b32:
        yield arguments.directory, load_encoder(arguments.directory)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder), random_b32(Path(folder))


def main() -> int:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, default=Path("default_encoder/embedded"))
    parser.add_argument("--random-b32", action="store_true")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    with encoder_directory(arguments) as (source, spec), tempfile.TemporaryDirectory() as folder:
        samples = load_samples(sample_photos(), spec, source)
        for method in METHODS:
            quantize_both(source, Path(folder) / method, method, samples)
        encoders = {method: Encoders.load(Path(folder) / method) for method in METHODS}
        speeds = {}
        for rows in (1, 8):
            pixels = {"pixel_values": samples.pixels[:rows]}
            runs = {method: functools.partial(each.image, pixels) for method, each in encoders.items()}
            speeds[f"images/s, batch {rows}"] = rates(runs, rows, arguments.rounds)
            for length in spec.text_buckets[:2]:
                tokens = {
                    "input_ids": np.full((rows, length), 5, np.int32),
                    "eot_index": np.full((rows, 1), length - 1, np.int32),
                }
                runs = {method: functools.partial(each.text, tokens) for method, each in encoders.items()}
                speeds[f"texts/s, batch {rows}, {length} tokens"] = rates(runs, rows, arguments.rounds)
        sizes = {
            method: round(sum((Path(folder) / method / file).stat().st_size for file in FILES) / 1e6, 1)
            for method in METHODS
        }
        result = {"encoder": spec.name, "machine": platform.processor() or platform.machine(), "sizes_mb": sizes}
        result["speed"] = speeds
        if not arguments.random_b32:
            embedded = {method: embed(encoders[method], samples) for method in METHODS}
            result["quality"] = {method: quality(embedded["fp32"], embedded[method]) for method in METHODS[1:]}
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
