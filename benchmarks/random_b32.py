"""A ViT-B/32 in INT8 with random weights, to measure speed with: as fast as a trained one, and of no other use.

    python -m benchmarks.random_b32 OUT

Quantised like `ensemble-builder build --precision int8` does it. That command itself refuses random weights, rightly:
what they find with INT8 is not near enough to what they find with FP32. The tokenizer is the demo's.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.encoder_precision import FILES, random_b32
from ensemble_builder import embedded_int8


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="encoder directory to make")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        random_b32(source)
        arguments.out.mkdir(parents=True)
        for file in FILES:
            embedded_int8.quantize(source / file, arguments.out / file)
        fields = json.loads((source / "encoder.json").read_text(encoding="utf-8"))
        (arguments.out / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
    (arguments.out / "encoder.json").write_text(json.dumps({**fields, "precision": "int8"}), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
