"""The same image encoder for people who normalise pixels in the application: FP32 [n, 3, H, W] instead of UINT8.

    python -m benchmarks.float_encoder default_encoder/embedded OUT.onnx

Cast, transposition, mean and std are cut from the graph; what is left is the same, precision included. Needs the
extra `export` (onnx).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

PIXELS = "pixel_values"


def cut(source: Path, target: Path) -> None:
    """Write the encoder in `source` with FP32 pixels as its input."""
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load(source)
    graph = model.graph
    convolution = next(node for node in graph.node if node.op_type.startswith("Conv"))
    before, name = {PIXELS}, PIXELS
    for node in list(graph.node):
        if node is convolution:
            break
        if set(node.input) & before and node.op_type != "Shape":
            before |= set(node.output)
            graph.node.remove(node)
    if convolution.input[0] not in before:
        raise SystemExit(f"{source}: the first convolution does not read {name}; it is not an image encoder of ours")
    convolution.input[0] = name
    side = graph.input[0].type.tensor_type.shape.dim[1].dim_value
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3, side, side]))
    del graph.value_info[:]
    onnx.save(model, target)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", type=Path, help="encoder directory")
    parser.add_argument("out", type=Path, help="the ONNX file to write")
    arguments = parser.parse_args(argv)
    cut(arguments.encoder / "image_encoder.onnx", arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
