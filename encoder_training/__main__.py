"""Command line: train a dual encoder, and measure one."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from product_match.contract.errors import ProductMatchError
from product_match.evaluation.split import Part

from .measurement import checkpoint_encoders, measure_folder
from .pipeline import TrainingRequest, train
from .training import TrainingPlan


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0, or 1 with the reason on stderr; wrong arguments end with 2.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        if options.command == "train":
            report: object = train(_request(options))
        else:
            encoders = checkpoint_encoders(options.checkpoint)
            report = {
                folder.name: measure_folder(encoders, folder, Part(options.part), copies=not options.no_copies)
                for folder in options.images
            }
    except ProductMatchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(json.dumps(report, indent=2) + "\n")
    return 0


def _request(options: argparse.Namespace) -> TrainingRequest:
    changes = {name: value for name in _PLAN_OPTIONS if (value := getattr(options, name)) is not None}
    parts: tuple[Part, ...] | None = (Part.TRAIN, Part.VALIDATION) if options.with_validation else (Part.TRAIN,)
    return TrainingRequest(
        folders=tuple(options.images),
        out=options.out,
        parts=None if options.all_photos else parts,
        clicks=options.clicks,
        start_from=options.checkpoint,
        plan=dataclasses.replace(TrainingPlan(), **changes),
    )


_PLAN_OPTIONS = {
    "head_epochs": (int, "passes over stored features, the head alone"),
    "tower_epochs": (int, "passes over random views, head and tower together; 0 leaves the tower as it came"),
    "tower_rate": (float, "peak learning rate of head and tower together"),
    "first_block": (int, "the image tower's blocks before it stay as they came; the more, the faster"),
    "batch": (int, "photos a step"),
    "seed": (int, "seed of all randomness"),
    "threads": (int, "parts of a batch that are computed at once"),
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m encoder_training", description="Train a dual encoder from pretrained towers, and measure it."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser(
        "train",
        help="train on labelled photos, write a checkpoint for `ensemble-builder build`",
        epilog="example: python -m encoder_training train --images shop --all-photos --out my_encoder",
    )
    training.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    training.add_argument(
        "--checkpoint", type=Path, metavar="DIR", help="go on from this checkpoint instead of the towers as they come"
    )
    training.add_argument(
        "--clicks", type=Path, metavar="FILE", help='JSON Lines such as {"text": "red dress", "image": "1042.jpg"}'
    )
    training.add_argument(
        "--with-validation", action="store_true", help="learn from the validation part of the split too"
    )
    training.add_argument(
        "--all-photos", action="store_true", help="learn from every photo; none is left to measure with"
    )
    defaults = TrainingPlan()
    for name, (kind, what) in _PLAN_OPTIONS.items():
        flag = "--" + name.replace("_", "-")
        training.add_argument(flag, type=kind, help=f"{what} (default: {getattr(defaults, name)})")
    measuring = commands.add_parser(
        "measure",
        help="measure a checkpoint by the fixed split, as JSON",
        epilog="example: python -m encoder_training measure --images clothing --checkpoint default_encoder",
    )
    measuring.add_argument("--checkpoint", type=Path, required=True, metavar="DIR", help="folder of the checkpoint")
    measuring.add_argument(
        "--part",
        choices=[part.value for part in Part],
        default=Part.VALIDATION.value,
        help="part of the split (default: %(default)s)",
    )
    measuring.add_argument(
        "--no-copies", action="store_true", help="leave re-encoded copies out, four encodings a photo"
    )
    for command in (training, measuring):
        command.add_argument(
            "--images",
            type=Path,
            action="append",
            required=True,
            metavar="DIR",
            help="labelled folder with images.csv and images/; give it once per folder",
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
