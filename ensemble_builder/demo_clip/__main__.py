"""Command line of the training: `python -m ensemble_builder.demo_clip train` and `measure`."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from product_match.contract.errors import ProductMatchError
from product_match.evaluation.split import Part

from .learning import CONTINUED_SCHEDULE, STUDENT_SCHEDULE
from .measurement import clip_encoders, measure_folder
from .teaching import TEACHER_SCHEDULE
from .training import TrainingPlan, train


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Words after the program's name; the process's own when None.

    Returns:
        0 when done, 1 when the data is not as expected.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        if options.command == "train":
            train(_plan(options), resume=options.resume)
        else:
            encoders = clip_encoders(options.checkpoint)
            report = {str(folder): measure_folder(encoders, folder, Part(options.part)) for folder in options.images}
            json.dump(report, sys.stdout, indent=2)
            sys.stdout.write("\n")
    except ProductMatchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


def _plan(options: argparse.Namespace) -> TrainingPlan:
    student = STUDENT_SCHEDULE if options.start_from is None else CONTINUED_SCHEDULE
    if options.student_epochs is not None:
        student = dataclasses.replace(student, epochs=options.student_epochs)
    return TrainingPlan(
        folders=tuple(options.images),
        out=options.out,
        work=options.work or options.out.with_name(options.out.name + "-training"),
        seed=options.seed,
        teacher=dataclasses.replace(TEACHER_SCHEDULE, epochs=options.teacher_epochs),
        student=student,
        start_from=options.start_from,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ensemble_builder.demo_clip", description="Train and measure the demonstration CLIP."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser(
        "train",
        help="train teacher and CLIP, write a checkpoint",
        epilog="example: python -m ensemble_builder.demo_clip train --images clothing --out demo_clip",
    )
    training.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    training.add_argument("--work", type=Path, help="folder of the resumable state (default: OUT-training)")
    training.add_argument("--resume", action="store_true", help="go on from the state in the work folder")
    training.add_argument("--seed", type=int, default=1, help="seed of all randomness (default: 1)")
    training.add_argument(
        "--teacher-epochs",
        type=int,
        default=TEACHER_SCHEDULE.epochs,
        help="passes of stage one (default: %(default)s)",
    )
    training.add_argument(
        "--student-epochs",
        type=int,
        help=f"passes of stage two ({STUDENT_SCHEDULE.epochs}, with --start-from {CONTINUED_SCHEDULE.epochs})",
    )
    training.add_argument(
        "--start-from",
        type=Path,
        metavar="CHECKPOINT",
        help="go on from this checkpoint's weights, on labels and captions alone, without a teacher",
    )
    measuring = commands.add_parser(
        "measure",
        help="measure a checkpoint by the fixed split, as JSON",
        epilog="example: python -m ensemble_builder.demo_clip measure --images clothing --checkpoint demo_clip",
    )
    measuring.add_argument("--checkpoint", type=Path, required=True, help="folder of the checkpoint")
    measuring.add_argument(
        "--part",
        choices=[part.value for part in Part],
        default=Part.TEST.value,
        help="part of the split (default: test)",
    )
    for command in (training, measuring):
        command.add_argument(
            "--images",
            type=Path,
            action="append",
            required=True,
            metavar="DIR",
            help="labelled folder with images.csv; give it once per folder",
        )
        command.add_argument("--threads", type=int, default=0, help="processor threads (default: torch's own)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
