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
    further = None
    if options.further_epochs > 0:
        further = dataclasses.replace(
            CONTINUED_SCHEDULE, epochs=options.further_epochs, peak_rate=options.further_rate
        )
    return TrainingPlan(
        folders=tuple(options.images),
        out=options.out,
        work=options.work or options.out.with_name(options.out.name + "-training"),
        seed=options.seed,
        teacher=dataclasses.replace(TEACHER_SCHEDULE, epochs=options.teacher_epochs),
        student=dataclasses.replace(STUDENT_SCHEDULE, epochs=options.student_epochs, peak_rate=options.student_rate),
        further=further,
        parts=(Part.TRAIN, Part.VALIDATION) if options.with_validation else (Part.TRAIN,),
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
        "--with-validation",
        action="store_true",
        help="learn from the validation part too, once nothing is left to tune (never from the test part)",
    )
    for flag, kind, default, what in (
        ("--teacher-epochs", int, TEACHER_SCHEDULE.epochs, "passes of stage one, the teacher"),
        ("--student-epochs", int, STUDENT_SCHEDULE.epochs, "passes of stage two, the CLIP with the teacher"),
        ("--student-rate", float, STUDENT_SCHEDULE.peak_rate, "peak learning rate of stage two"),
        ("--further-epochs", int, CONTINUED_SCHEDULE.epochs, "passes of stage three, without it; 0 leaves it out"),
        ("--further-rate", float, CONTINUED_SCHEDULE.peak_rate, "peak learning rate of stage three"),
    ):
        training.add_argument(flag, type=kind, default=default, help=f"{what} (default: %(default)s)")
    training.add_argument(
        "--start-from",
        type=Path,
        metavar="CHECKPOINT",
        help="go on from this checkpoint's weights with stage three, without stages one and two",
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
