"""Imports point one way: what serves has no torch and no Triton client, what clients need has no server code."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

import product_match

PACKAGE = Path(product_match.__file__).parent
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
    ("product_match_client", HEAVY | SERVER | BUILDER | {"product_match.stack", "product_match.retrieval", "rich"}),
    (
        "product_match_client.cli.command",
        HEAVY | SERVER | BUILDER | {"product_match.stack", "product_match.retrieval"},
    ),
]


@pytest.mark.parametrize(("module", "forbidden"), LAYERS, ids=[module for module, _ in LAYERS])
def test_a_layer_imports_nothing_from_above(module, forbidden):
    code = f"import sys, {module}; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not sorted(name for name in loaded if name in forbidden)


# What each package of `product_match` may import of the others, besides itself.
ARROWS = {
    "contract": set(),
    "settings": {"contract"},
    "telemetry": {"contract"},
    "host": {"contract"},
    "evaluation": {"contract"},
    "preprocessing": {"contract", "host", "telemetry"},
    "encoding": {"contract"},
    "repository": {"contract", "settings"},
    "vectors": {"contract", "host", "telemetry"},
    "words": {"contract"},
    "statistics": {"contract", "documents", "words"},
    "documents": {"contract", "settings", "telemetry"},
    "index": {"contract", "settings", "documents", "vectors", "words", "host", "telemetry"},
    "triton": {"contract", "settings", "host", "preprocessing", "encoding", "telemetry"},
    "events": {"contract", "settings", "documents", "telemetry"},
    "feedback": {"contract", "settings", "events", "triton"},
    "recording": {"contract", "settings", "events", "feedback", "retrieval"},
    "retrieval": {"contract", "vectors", "index", "words", "statistics", "triton", "telemetry"},
    "indexing": {"contract", "documents", "index", "triton", "telemetry"},
    "encoder_change": {
        *("contract", "settings", "host", "documents", "index", "vectors", "words", "preprocessing", "encoding"),
        *("repository", "triton"),
    },
    "catalogue": {
        *("contract", "settings", "documents", "index", "vectors", "words", "statistics", "encoder_change", "triton"),
        "telemetry",
        "events",
    },
    "stack": {"contract", "settings", "host", "repository", "triton", "encoder_change", "feedback", "telemetry"},
    "preflight": {"contract", "settings", "host", "documents", "container"},
    "container": {
        *("contract", "settings", "host", "repository", "triton", "encoding", "documents", "vectors"),
        "telemetry",
    },
}


def imported_packages(path):
    """Yield the packages of `product_match` that a file imports anywhere, in functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name.split(".")[1] for name in names if name.startswith("product_match."))


def test_every_package_imports_only_what_its_arrows_say():
    found = {}
    for path in PACKAGE.rglob("*.py"):
        package = path.relative_to(PACKAGE).with_suffix("").parts[0]
        found.setdefault(package, set()).update(set(imported_packages(path)) - {package})
    found.pop("__init__")
    assert {name: sorted(there) for name, there in found.items() if there - ARROWS[name]} == {}
    assert ARROWS.keys() == found.keys()


def test_there_is_no_circle_between_packages():
    assert list(graphlib.TopologicalSorter(ARROWS).static_order())


def test_the_documents_and_the_index_know_nothing_of_triton():
    for package in ("documents", "index", "vectors"):
        for path in (PACKAGE / package).rglob("*.py"):
            assert "triton" not in set(imported_packages(path)), path
