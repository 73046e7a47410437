"""Prints the findings as a plain table: `python -m product_match.preflight`."""

from __future__ import annotations

import argparse
import os
import sys

from product_match.preflight.report import State, examine


def main() -> int:
    """Return 1 if something is wrong."""
    parser = argparse.ArgumentParser(prog="product_match.preflight", description="Say what is wrong, and what to do.")
    parser.add_argument("--gpu", action="store_true", help="a GPU is needed, for TensorRT engines")
    findings = examine(os.environ, gpu=parser.parse_args().gpu)
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        sys.stdout.write(f"{finding.state.value:<6} {finding.what:<{width}}  {finding.found}\n")
        if finding.advice:
            sys.stdout.write(f"{'':<6} {'':<{width}}  -> {finding.advice}\n")
    return int(any(finding.state is State.WRONG for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
