"""The `ensemble-builder` command."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ensemble_builder.report import BuildReport, read_report, table
from product_match.contract.encoder import load_encoder
from product_match.contract.errors import ConfigError, ParityError, ProductMatchError
from product_match.contract.limits import MAX_BATCH_SIZE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 1 failed, 2 misuse."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    for chatty in ("httpx", "huggingface_hub", "transformers"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    try:
        code: int = arguments.run(arguments)
    except ProductMatchError as error:
        sys.stderr.write(f"ensemble-builder: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(
            f"ensemble-builder: {error.filename or 'a file'} cannot be read or written ({error.strerror or error}); "
            "check the disk and its permissions\n"
        )
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("ensemble-builder: stopped; nothing was changed\n")
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ensemble-builder", description="Turns a checkpoint into encoders and a model repository for Triton."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_build(commands)
    _add_engines(commands)
    _add_verify(commands)
    _add_inspect(commands)
    _add_check(commands)
    _add_contract(commands)
    return parser


def _command(commands: Any, name: str, run: Any, summary: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", epilog=f"example: {example}"
    )
    parser.set_defaults(run=run)
    parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    return parser


def _add_build(commands: Any) -> None:
    build = _command(
        commands,
        "build",
        _build,
        "turn a checkpoint into an encoder directory, checked against the checkpoint",
        "ensemble-builder build --checkpoint openai/clip-vit-base-patch32 --target embedded --precision int8",
    )
    build.add_argument("--checkpoint", required=True, help="folder in Hugging Face format, or the id of a hub model")
    build.add_argument(
        "--target",
        choices=("embedded", "tensorrt"),
        default="embedded",
        help="what runs the encoders: ONNX Runtime on the CPU, or TensorRT (default: embedded)",
    )
    build.add_argument(
        "--precision",
        choices=("fp32", "fp16", "fp8", "int8"),
        default="fp32",
        help="of the encoders; embedded: fp32, int8; tensorrt: fp32, fp16, fp8, int8 (default: fp32)",
    )
    build.add_argument(
        "--out",
        type=Path,
        help="encoder directory to make; one that is there is replaced (default: encoders/NAME-TARGET-PRECISION)",
    )
    build.add_argument("--name", help="short name of the encoder (default: the checkpoint's)")
    build.add_argument(
        "--text-buckets", type=_lengths, help="token lengths that texts are padded to (default for CLIP: 8,16,32,77)"
    )
    build.add_argument(
        "--photos", type=Path, help="folder of your own photos, to calibrate and measure with (default: the sample's)"
    )
    build.add_argument(
        "--captions",
        type=Path,
        help="words and labels of the photos: JSON lines of products, or CSV with the columns image,words,label",
    )
    build.add_argument(
        "--max-batch-size",
        type=int,
        default=MAX_BATCH_SIZE,
        help=f"TensorRT: greatest batch of an encoder (default: {MAX_BATCH_SIZE})",
    )
    build.add_argument(
        "--share-weights",
        action="store_true",
        help="embedded FP32: both ONNX files read one copy of the checkpoint's weight file, instead of FP32 copies",
    )
    build.add_argument(
        "--no-repository", action="store_true", help="leave out the model repository, which a server can make itself"
    )
    build.add_argument(
        "--untrained",
        action="store_true",
        help="take a model that tells nothing apart too, such as one of random weights, for a trial",
    )


def _add_engines(commands: Any) -> None:
    engines = _command(
        commands,
        "engines",
        _engines,
        "build the TensorRT engines of an encoder directory on this machine's GPU, and its model repository",
        "ensemble-builder engines --directory /encoder",
    )
    engines.add_argument("--directory", type=Path, required=True, help="made by `build --target tensorrt`")
    engines.add_argument(
        "--check", action="store_true", help="build nothing; fail unless the engines there fit TensorRT and the GPU"
    )


def _add_verify(commands: Any) -> None:
    verify = _command(
        commands,
        "verify",
        _verify,
        "compare the encoders that a running Triton serves with the FP32 ones",
        "ensemble-builder verify --directory /encoder --url localhost:8001",
    )
    verify.add_argument("--directory", type=Path, required=True, help="made by `build --target tensorrt`")
    verify.add_argument("--url", default="localhost:8001", help="Triton's gRPC (default: localhost:8001)")
    verify.add_argument("--wait", type=float, default=0, metavar="SECONDS", help="wait for Triton to be ready first")
    verify.add_argument("--record", type=Path, metavar="DIR", help="write what was found here, for `status`")
    verify.add_argument(
        "--guard", type=int, metavar="PID", help="end this process, Triton's, where its encoders differ"
    )


def _add_inspect(commands: Any) -> None:
    inspect = _command(
        commands,
        "inspect",
        _inspect,
        "show what an encoder directory holds and how it was checked",
        "ensemble-builder inspect default_encoder/embedded",
    )
    inspect.add_argument("directory", type=Path, help="encoder directory")


def _add_check(commands: Any) -> None:
    check = _command(
        commands,
        "check",
        _check,
        "say whether a checkpoint can be built, as what, and what that takes, before anything is exported",
        "ensemble-builder check openai/clip-vit-base-patch32",
    )
    check.add_argument("checkpoint", help="folder in Hugging Face format, or the id of a hub model")
    check.add_argument(
        "--text-buckets", type=_lengths, help="token lengths that texts are padded to (default for CLIP: 8,16,32,77)"
    )


def _add_contract(commands: Any) -> None:
    contract = _command(
        commands,
        "contract",
        _contract,
        "compare the committed configurations and tables with the contract",
        "ensemble-builder contract --write",
    )
    contract.add_argument("--write", action="store_true", help="write them anew instead")
    contract.add_argument(
        "--project", type=Path, default=Path(), help="a checkout of the project (default: this folder)"
    )


def _lengths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected lengths such as 8,16,32,77, got {text!r}") from error


def _build(arguments: argparse.Namespace) -> int:
    try:
        from ensemble_builder.build import BuildRequest, build  # torch takes seconds to import
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"building needs more than serving ({error}); install it with `pip install 'product-match[export]'`"
        ) from error

    name = arguments.name or Path(arguments.checkpoint).name.replace("_", "-")
    out = arguments.out or Path("encoders") / f"{name}-{arguments.target}-{arguments.precision}"
    request = BuildRequest(
        checkpoint=arguments.checkpoint,
        out=out,
        target=arguments.target,
        precision=arguments.precision,
        name=arguments.name,
        text_buckets=arguments.text_buckets,
        share_weights=arguments.share_weights,
        photos=arguments.photos,
        captions=arguments.captions,
        max_batch_size=arguments.max_batch_size,
        repository=not arguments.no_repository,
        untrained=arguments.untrained,
    )
    report = BuildReport()
    try:
        spec, report = build(request, report)
    except ProductMatchError:
        if report.checks:
            sys.stderr.write(table([dataclasses.asdict(check) for check in report.checks], report.notes) + "\n")
        raise
    checks = [dataclasses.asdict(check) for check in report.checks]
    written = read_report(out)
    sys.stderr.write("\n".join([table(checks, report.notes), *_made(written)]) + "\n")
    _tell(
        arguments,
        {"encoder": spec.identity, "directory": str(out), "checks": checks, "notes": report.notes},
        f"{spec.identity} is in {out}",
    )
    return 0


def _made(report: Mapping[str, Any]) -> list[str]:
    """Return sizes and timings as lines for people."""
    files = [f"{entry['bytes']:>13,} bytes  {file}" for file, entry in report["files"].items()]
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in report["timings_s"].items())
    return [*files, f"took: {stages}"]


def _engines(arguments: argparse.Namespace) -> int:
    from ensemble_builder.engines import check_directory, make_engines

    work = check_directory if arguments.check else make_engines
    plans = {model: path.name for model, path in work(arguments.directory).items()}
    _tell(arguments, {"directory": str(arguments.directory), "plans": plans}, "\n".join(plans.values()))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from ensemble_builder.verification import verify, wait_ready

    if arguments.wait:
        wait_ready(arguments.url, arguments.wait, arguments.guard)
    try:
        lowest = verify(arguments.directory, load_encoder(arguments.directory), arguments.url, arguments.record)
    except ParityError:
        if arguments.guard is not None:
            os.kill(arguments.guard, signal.SIGTERM)
        raise
    lines = [f"{model:<14} lowest cosine with FP32 {cosine:.6f}" for model, cosine in lowest.items()]
    _tell(arguments, {"lowest_cosines": lowest}, "\n".join(lines))
    return 0


def _inspect(arguments: argparse.Namespace) -> int:
    spec = load_encoder(arguments.directory)
    report = read_report(arguments.directory)
    fields = {name: value for name, value in dataclasses.asdict(spec).items() if name != "scales"}
    scales = dataclasses.asdict(spec)["scales"]
    lines = [f"{name:<16} {value}" for name, value in fields.items()]
    lines += [
        f"{name:<16} {ends['background']:+.3f} unrelated, {ends['match']:+.3f} match" for name, ends in scales.items()
    ]
    lines += ["", *_made(report), "", table(report["checks"], report["notes"])]
    _tell(arguments, {"encoder": {**fields, "scales": scales}, "build": report}, "\n".join(lines))
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from ensemble_builder.examination import described, examine

    found = examine(arguments.checkpoint, arguments.text_buckets)
    _tell(arguments, found, f"{described(found)}\nthis checkpoint can be built")
    return 0


def _contract(arguments: argparse.Namespace) -> int:
    from product_match.repository.generated import stale_files, write_generated
    from product_match.repository.shipped import ENCODER

    if not (arguments.project / ENCODER).is_dir():
        raise ConfigError(
            f"{arguments.project.resolve()} is not the project's folder, as it has no {ENCODER}; run this in a "
            "checkout, or give one with --project"
        )
    stale = stale_files(arguments.project)
    if arguments.write:
        write_generated(arguments.project)
    words = "written: " if arguments.write else "differs from the contract: "
    lines = [words + name for name in stale] or ["everything fits the contract"]
    if stale and not arguments.write:
        lines.append("write them with `ensemble-builder contract --write`")
    _tell(arguments, {"stale": stale, "written": bool(stale and arguments.write)}, "\n".join(lines))
    return 1 if stale and not arguments.write else 0


def _tell(arguments: argparse.Namespace, result: dict[str, Any], words: str) -> None:
    """Print the result on stdout: JSON for programs, words for people."""
    sys.stdout.write((json.dumps(result) if arguments.json else words) + "\n")
