"""Runs the fuzzers: `python -m tests.fuzzing --count 10000`; exit code 1 where one found something."""

from __future__ import annotations

import argparse
import json
import sys

from tests.fuzzing.kinds import KINDS
from tests.fuzzing.rounds import run_rounds


def main(arguments: list[str] | None = None) -> int:
    """Run and print the figures as JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzzing", epilog="example: python -m tests.fuzzing --kind photos --count 10000 --seed 7"
    )
    parser.add_argument("--kind", choices=[*KINDS, "all"], default="all", help="what to make inputs of")
    parser.add_argument("--count", type=int, default=1000, help="inputs of each kind")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same inputs")
    given = parser.parse_args(arguments)
    found = False
    for name in KINDS if given.kind == "all" else [given.kind]:
        figures = run_rounds(name, given.count, given.seed)
        print(json.dumps(figures.to_dict()), flush=True)
        found = found or bool(figures.failures)
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
