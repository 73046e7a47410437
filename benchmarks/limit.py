"""The limit: one process that does only what cannot be avoided, batched as well as it can be, and no server.

Decoding or tokenising, encoding with the same ONNX Runtime settings, one search and one join for each batch, and the
answer's JSON. The parts are the server's own. Several ways to use the cores are tried: whole batches in parallel
threads, each with its own thread of the encoder; one batch after the other with the encoder on all cores; both; and
small batches to large ones. The best one counts.
"""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.catalogue_copy import copy_index, open_documents
from benchmarks.load.inputs import Inputs
from benchmarks.load.messages import Kind
from product_match.contract.encoder import IMAGE_ONNX_FILE, TEXT_ONNX_FILE, EncoderSpec, load_encoder
from product_match.contract.models import IMAGE_ENCODER, QUERY_TEXT, TEXT_ENCODER, composing_model
from product_match.encoding.session import EncoderSession
from product_match.index.product_cache import CachedProducts
from product_match.preprocessing.images import ImagePreprocessor
from product_match.preprocessing.texts import TextPreprocessor, decode_text
from product_match.retrieval.service import RetrievalService
from product_match.statistics.counting import count_catalogue
from product_match.triton.batches import BatchRequest, bytes_column
from product_match.words.analysis import Analyser


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to use the cores: `workers` threads that each serve whole batches, `threads` in each encoder run."""

    workers: int
    threads: int
    batch: int

    def __str__(self) -> str:
        return f"{self.workers} workers x {self.threads} encoder threads, batches of {self.batch}"


_BATCHES = {Kind.IMAGE: (2, 4, 8, 16, 32), Kind.TEXT: (8, 16, 32, 64, 128), Kind.BOTH: (2, 4, 8, 16, 32)}


def ways(kind: Kind) -> list[Way]:
    """Return the ways that are tried."""
    shared = ((1, 2), (2, 1), (2, 2), (3, 1))
    return [Way(workers=w, threads=t, batch=b) for (w, t), b in itertools.product(shared, _BATCHES[kind])]


class Limit:
    """The parts, without a server."""

    def __init__(self, encoder_directory: Path, mongodb_uri: str, scratch: Path) -> None:
        """Open the parts.

        Args:
            encoder_directory: The server's.
            mongodb_uri: The server's document store; its products are read, and copied into an index of our own.
            scratch: An empty directory for that index, which only one process can hold.
        """
        self.encoder: EncoderSpec = load_encoder(encoder_directory)
        self._directory = encoder_directory
        self._documents = open_documents(encoder_directory, mongodb_uri, scratch)
        self.index = copy_index(self._documents, scratch / "index", self.encoder.embedding_dim)
        products = CachedProducts(self._documents, lambda: True)
        analyser = Analyser()
        counted = count_catalogue(self._documents, self.encoder.embedding_dim, analyser, 1, threading.Event())
        self._retrieval = RetrievalService(self.encoder, self.index, products, lambda: counted, analyser.language)
        self._images = ImagePreprocessor(self.encoder)
        self._single = ImagePreprocessor(self.encoder, threads=1)
        self._texts = TextPreprocessor(self.encoder, encoder_directory)
        self._sessions: dict[tuple[str, int], EncoderSession] = {}

    def close(self) -> None:
        """Close the parts."""
        self.index.close()
        self._documents.close()
        self._images.close()

    def best_ways(self, kind: Kind, inputs: Inputs, seconds: float, first: int) -> tuple[list[Way], int]:
        """Try every way once and the best five twice more, and return the best two and the next input's number."""
        reached: dict[Way, list[float]] = {way: [] for way in ways(kind)}
        trying = list(reached)
        for _ in range(3):
            for way in trying:
                rate, first = self.throughput(kind, inputs, way, seconds, first)
                reached[way].append(rate)
            trying = sorted(trying, key=lambda way: -statistics.median(reached[way]))[:5]
        return trying[:2], first

    def throughput(self, kind: Kind, inputs: Inputs, way: Way, seconds: float, first: int = 0) -> tuple[float, int]:
        """Return answers a second, and the number of the first input that was not used."""
        numbers = _Numbers(first)
        counts = [0] * way.workers
        self.answers(kind, inputs, numbers.take(way.batch), way)  # sessions load before the clock starts
        started = time.perf_counter()
        end = started + seconds

        def work(worker: int) -> None:
            while time.perf_counter() < end:
                chosen = numbers.take(way.batch)
                counts[worker] += len(self.answers(kind, inputs, chosen, way))

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(way.workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(counts) / (time.perf_counter() - started), numbers.take(1)[0]

    def answers(self, kind: Kind, inputs: Inputs, numbers: Sequence[int], way: Way) -> Sequence[bytes]:
        """Answer one batch."""
        tensors: dict[str, Any] = {}
        if kind is not Kind.TEXT:
            preprocessor = self._images if way.workers == 1 else self._single
            pixels = np.stack(preprocessor.preprocess([inputs.photo(number) for number in numbers]))
            tensors["image_embeds"] = self._session("image", way.threads).encode({"pixel_values": pixels})
        if kind is not Kind.IMAGE:
            texts = [inputs.text(number) for number in numbers]
            tensors["text_embeds"] = self._text_embeds(texts, way.threads)
            tensors[QUERY_TEXT.name] = bytes_column(texts)
        (answer,) = self._retrieval([BatchRequest(tensors=tensors, request_id="limit")])
        if not isinstance(answer, dict):
            raise answer
        rows: Sequence[bytes] = answer["matches"][:, 0]
        return rows

    def _text_embeds(self, texts: Sequence[bytes], threads: int) -> NDArray[np.float32]:
        """Encode words, those of each padded length together."""
        rows = [self._texts.tokenize([decode_text(text)]) for text in texts]  # each to its own bucket
        embeds = np.empty((len(rows), self.encoder.embedding_dim), np.float32)
        lengths = [row.input_ids.shape[1] for row in rows]
        groups = [[place for place, own in enumerate(lengths) if own == length] for length in sorted(set(lengths))]
        encoded = self._session("text", threads).encode_groups(
            [
                {
                    "input_ids": np.concatenate([rows[place].input_ids for place in places]),
                    "eot_index": np.concatenate([rows[place].eot_index for place in places]),
                }
                for places in groups
            ]
        )
        for places, part in zip(groups, encoded, strict=True):
            embeds[places] = part
        return embeds

    def _session(self, side: str, threads: int) -> EncoderSession:
        key = (side, threads)
        if key not in self._sessions:
            name, file = (IMAGE_ENCODER, IMAGE_ONNX_FILE) if side == "image" else (TEXT_ENCODER, TEXT_ONNX_FILE)
            spec = composing_model(self.encoder, name)
            self._sessions[key] = EncoderSession(self._directory / file, spec, threads)
        return self._sessions[key]


class _Numbers:
    """Hands out input numbers to several threads, each once."""

    def __init__(self, first: int) -> None:
        self._counter: Iterator[int] = itertools.count(first)
        self._lock = threading.Lock()

    def take(self, count: int) -> list[int]:
        with self._lock:
            return list(itertools.islice(self._counter, count))
