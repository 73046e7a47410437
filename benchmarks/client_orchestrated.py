"""What people build today: an application that calls an encoder, a vector search and a document store in turn.

Built fairly: asyncio, one kept-alive HTTP connection pool, photos decoded by the very code of the server in two
threads, the encoder on the same Triton at the same precision with dynamic batching, the vector search in the
application's own process (no network at all), and the document reads of one answer sent at the same time. As such
applications do, it sends normalised FP32 pixels, pads words to the full context, and reads one document for each hit.
`Reads.TOGETHER` is the same application by a careful author, who reads the documents of an answer in one query.
"""

from __future__ import annotations

import asyncio
import enum
import itertools
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pymongo import AsyncMongoClient
from tritonclient.http import InferInput, InferRequestedOutput
from tritonclient.http.aio import InferenceServerClient

from benchmarks.load.inputs import Inputs
from benchmarks.load.loops import Measured
from benchmarks.load.messages import Kind
from product_match.contract.encoder import EncoderSpec, load_encoder
from product_match.contract.limits import DEFAULT_TOP_K
from product_match.preprocessing.images import ImagePreprocessor
from product_match.preprocessing.texts import TextPreprocessor, decode_text
from product_match.retrieval.fusion import rank
from product_match.retrieval.rows import RowQuery
from product_match.retrieval.searches import gather, row_searches
from product_match.vectors.edge_index import EdgeIndex

FLOAT_ENCODER = "pattern_image_encoder"
WARM_UP_S = 1.0

CONFIGURATION = """name: "pattern_image_encoder"
backend: "python"
max_batch_size: 64
input {{ name: "pixel_values" data_type: TYPE_FP32 dims: 3 dims: {side} dims: {side} }}
output {{ name: "image_embeds" data_type: TYPE_FP32 dims: {dimension} }}
instance_group {{ count: 1 kind: KIND_CPU }}
dynamic_batching {{ }}
"""

ADAPTER = '''"""The encoder of the client-orchestrated pattern: FP32 pixels, the sessions of ours."""
import dataclasses
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

from product_match.contract.encoder import load_encoder
from product_match.contract.models import IMAGE_ENCODER, composing_model
from product_match.contract.tensors import Dtype
from product_match.encoding.session import EncoderSession


class TritonPythonModel:
    def initialize(self, args):
        spec = composing_model(load_encoder(Path("{directory}")), IMAGE_ENCODER)
        pixels = dataclasses.replace(spec.inputs[0], dtype=Dtype.FP32, dims=(3, *spec.inputs[0].dims[:2]))
        self._session = EncoderSession(Path("{onnx}"), dataclasses.replace(spec, inputs=(pixels,)))

    def execute(self, requests):
        rows = [pb_utils.get_input_tensor_by_name(request, "pixel_values").as_numpy() for request in requests]
        embeds = self._session.encode({{"pixel_values": np.concatenate(rows)}})
        parts = np.split(embeds, np.cumsum([len(row) for row in rows])[:-1])
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("image_embeds", np.ascontiguousarray(part))])
            for part in parts
        ]
'''


class Reads(enum.Enum):
    """How the documents of one answer are read."""

    EACH = "one read for each hit"
    TOGETHER = "one read for an answer"


def add_float_encoder(repository: Path, directory: Path, onnx_file: Path) -> None:
    """Add the pattern's image encoder, which `benchmarks.float_encoder` made, to a model repository."""
    encoder = load_encoder(directory)
    (repository / FLOAT_ENCODER / "1").mkdir(parents=True)
    text = CONFIGURATION.format(side=encoder.image_size_px, dimension=encoder.embedding_dim)
    (repository / FLOAT_ENCODER / "config.pbtxt").write_text(text, encoding="utf-8")
    adapter = ADAPTER.format(directory=directory.resolve(), onnx=onnx_file.resolve())
    (repository / FLOAT_ENCODER / "1" / "model.py").write_text(adapter, encoding="utf-8")


class Application:
    """The application."""

    def __init__(
        self, encoder: EncoderSpec, directory: Path, index: EdgeIndex, *, http: str, mongodb: str, database: str
    ) -> None:
        """Prepare; `run` connects."""
        self._encoder = encoder
        self._images = ImagePreprocessor(encoder, threads=1)
        self._texts = TextPreprocessor(encoder, directory)
        self._index = index
        self._http, self._mongodb, self._database = http, mongodb, database
        # As published checkpoints declare them; the values do not change the time.
        self._mean = np.asarray([0.481, 0.458, 0.408], np.float32) * 255
        self._std = np.asarray([0.269, 0.261, 0.276], np.float32) * 255

    def run(
        self,
        kind: Kind,
        inputs: Inputs,
        numbers: itertools.count[int],
        reads: Reads,
        *,
        concurrency: int,
        seconds: float,
    ) -> Measured:
        """Keep `concurrency` queries under way for so long."""
        return asyncio.run(self._run(kind, inputs, numbers, reads, concurrency, seconds))

    async def _run(
        self,
        kind: Kind,
        inputs: Inputs,
        numbers: itertools.count[int],
        reads: Reads,
        concurrency: int,
        seconds: float,
    ) -> Measured:
        measured = Measured()
        mongo: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(self._mongodb, maxPoolSize=16)
        triton = InferenceServerClient(self._http, conn_limit=concurrency)
        pool = ThreadPoolExecutor(2)
        products = mongo[self._database]["products"]

        async def work(end: float) -> None:
            while time.perf_counter() < end:
                start = time.perf_counter()
                ranked = await self._search(kind, inputs, next(numbers), triton, pool)
                await _answer(ranked, products, reads)
                measured.latencies_s.append(time.perf_counter() - start)

        try:
            await asyncio.gather(*(work(time.perf_counter() + WARM_UP_S) for _ in range(concurrency)))
            measured.latencies_s.clear()
            started = time.perf_counter()
            await asyncio.gather(*(work(started + seconds) for _ in range(concurrency)))
            measured.seconds = time.perf_counter() - started
        finally:
            await triton.close()
            await mongo.close()
            pool.shutdown()
        return measured

    async def _search(
        self, kind: Kind, inputs: Inputs, number: int, triton: Any, pool: ThreadPoolExecutor
    ) -> Sequence[tuple[str, float]]:
        sides: dict[str, NDArray[np.float32]] = {}
        if kind is not Kind.TEXT:
            pixels = await asyncio.get_running_loop().run_in_executor(pool, self._pixels, inputs.photo(number))
            sides["image"] = await _infer(triton, FLOAT_ENCODER, "image_embeds", {"pixel_values": pixels})
        if kind is not Kind.IMAGE:
            ids, place = self._tokens(inputs.text(number))
            sides["text"] = await _infer(
                triton, "text_encoder", "text_embeds", {"input_ids": ids, "eot_index": place}
            )
        row = _by_vectors(sides)
        searches = row_searches(row, self._encoder.scales)
        hits = self._index.search([search.query for search in searches])
        return rank(row, gather(row, searches, hits, self._encoder.scales))[:DEFAULT_TOP_K]

    def _pixels(self, photo: bytes) -> NDArray[np.float32]:
        pixels = (self._images.pixels(photo).astype(np.float32) - self._mean) / self._std
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))[None]

    def _tokens(self, text: bytes) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        rows = self._texts.tokenize([decode_text(text)])
        ids = np.full((1, self._encoder.context_length), self._encoder.pad_id, np.int32)
        ids[:, : rows.input_ids.shape[1]] = rows.input_ids
        return ids, rows.eot_index


def _by_vectors(sides: Mapping[str, NDArray[np.float32]]) -> RowQuery:
    """Return the query of such an application: vectors alone, each side counting the same."""
    return RowQuery(
        query_id="",
        sides=sides,
        shares=dict.fromkeys(sides, 1.0 / len(sides)),
        text="",
        words=None,
        top_k=DEFAULT_TOP_K,
        fields=None,
        filter=None,
        min_score=None,
        min_confidence=None,
        fusion="vector",
        explain=False,
    )


async def _answer(ranked: Sequence[tuple[str, float]], products: Any, reads: Reads) -> bytes:
    wanted, ids = {"product": 1}, [id_ for id_, _ in ranked]
    if reads is Reads.EACH:
        documents = await asyncio.gather(*(products.find_one({"_id": id_}, wanted) for id_ in ids))
    else:
        documents = await products.find({"_id": {"$in": ids}}, wanted).to_list()
    found = {document["_id"]: document["product"] for document in documents if document}
    return orjson.dumps([{"score": score, "product": found[id_]} for id_, score in ranked if id_ in found])


async def _infer(triton: Any, model: str, output: str, tensors: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    inputs = []
    for name, array in tensors.items():
        tensor = InferInput(name, list(array.shape), "FP32" if array.dtype == np.float32 else "INT32")
        tensor.set_data_from_numpy(array, binary_data=True)
        inputs.append(tensor)
    result = await triton.infer(model, inputs, outputs=[InferRequestedOutput(output, binary_data=True)])
    embeds: NDArray[np.float32] = result.as_numpy(output)[0]
    return embeds
