"""Imports point one way: what serves has no torch and no Triton client, what clients need has no server code."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "tensorrt", "onnx", "pb_utils", "triton_python_backend_utils"}
SERVER = {"qdrant_client", "qdrant_edge", "pymongo", "onnxruntime", "PIL", "tokenizers", "orjson"}
CLIENT = {"tritonclient", "product_match_client"}
BUILDER = {"ensemble_builder"}

LAYERS = [
    ("product_match.contract.models", HEAVY | SERVER | CLIENT | BUILDER),
    ("product_match.contract.options", HEAVY | SERVER | CLIENT | BUILDER),
    ("product_match.contract.products", HEAVY | SERVER | CLIENT | BUILDER),
    ("product_match.settings", HEAVY | SERVER | CLIENT | BUILDER | {"numpy"}),
    ("product_match.preprocessing.images", HEAVY | CLIENT | BUILDER | {"qdrant_client", "pymongo", "onnxruntime"}),
    ("product_match.preprocessing.texts", HEAVY | CLIENT | BUILDER | {"qdrant_client", "pymongo", "onnxruntime"}),
    ("product_match.encoding.session", HEAVY | CLIENT | BUILDER | {"qdrant_client", "pymongo", "PIL"}),
    ("product_match.retrieval.service", HEAVY | CLIENT | BUILDER | {"onnxruntime", "PIL", "tokenizers"}),
    ("product_match.indexing.service", HEAVY | CLIENT | BUILDER | {"onnxruntime", "PIL", "tokenizers"}),
    ("product_match.triton.services", HEAVY | CLIENT | BUILDER | {"qdrant_client", "pymongo"}),
    ("product_match.evaluation.metrics", HEAVY | SERVER | CLIENT | BUILDER),
    ("product_match_client", HEAVY | SERVER | BUILDER | {"product_match.stack", "product_match.retrieval"}),
    ("product_match_client.command", HEAVY | SERVER | BUILDER | {"product_match.stack", "product_match.retrieval"}),
]


@pytest.mark.parametrize(("module", "forbidden"), LAYERS, ids=[module for module, _ in LAYERS])
def test_a_layer_imports_nothing_from_above(module, forbidden):
    code = f"import sys, {module}; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not sorted(name for name in loaded if name in forbidden)
