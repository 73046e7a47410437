"""Growth: the retrieval stage's search at 10,000, 100,000 and 1,000,000 products, on synthetic vectors.

    python -m benchmarks.growth build --points 100000 --out DIR
    python -m benchmarks.growth measure DIR ... --out growth.json

`build` makes a Qdrant Edge shard like the server's with its HNSW graph, in a process of its own, and keeps the
vectors beside it for the exact answer. `measure` opens one shard after the other and searches.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.load.summaries import summarise
from product_match.contract.products import point_id
from product_match.host.processes import read_process
from product_match.vectors.edge_index import EdgeIndex
from product_match.vectors.vector_index import VectorPoint, VectorQuery

DIMENSION = 256
CLUSTER_SIZE = 60
SPREAD_DIMENSIONS = 32
CHUNK = 2000
TOP_K = 10
QUERIES = 500


class Vectors:
    """Unit vectors that lie like CLIP's: a common direction, themes, products close together within a theme.

    Distances within a theme differ in few directions, as the intrinsic dimension of such data is far below the
    number of coordinates; a little noise in all of them keeps any two apart.
    """

    def __init__(self, points: int, dimension: int = DIMENSION, seed: int = 7) -> None:
        """Prepare for `points` vectors; the same arguments give the same vectors."""
        rng = np.random.default_rng(seed)
        self._seed, self._dimension = seed, dimension
        self._common = rng.normal(size=dimension).astype(np.float32) * 0.9
        self._basis = rng.normal(size=(SPREAD_DIMENSIONS, dimension)).astype(np.float32) / np.sqrt(SPREAD_DIMENSIONS)
        self._themes = rng.normal(size=(max(2, points // CLUSTER_SIZE), SPREAD_DIMENSIONS)).astype(np.float32)

    def draw(self, count: int, stream: int) -> NDArray[np.float32]:
        """Return `count` vectors, [count, D] float32; each `stream` gives others."""
        rng = np.random.default_rng((self._seed, stream))
        theme = self._themes[rng.integers(len(self._themes), size=count)]
        latent = theme + 0.45 * rng.standard_normal((count, SPREAD_DIMENSIONS), np.float32)
        vectors = self._common + latent @ self._basis
        vectors += 0.15 * rng.standard_normal((count, self._dimension), np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def build(points: int, out: Path) -> dict[str, Any]:
    """Build a shard with `points` products under `out`, and return what it took."""
    out.mkdir(parents=True)
    source = Vectors(points)
    stored = np.lib.format.open_memmap(out / "vectors.npy", "w+", np.float32, (points, DIMENSION))
    index = EdgeIndex(out / "shard", DIMENSION)
    started = time.perf_counter()
    for start in range(0, points, CHUNK):
        rows = source.draw(min(CHUNK, points - start), stream=1 + start // CHUNK)
        stored[start : start + len(rows)] = rows
        index.upsert(
            [
                VectorPoint(id=point_id(str(start + n)), rev=1, vectors={"image": row}, payload={"price": float(n)})
                for n, row in enumerate(rows)
            ]
        )
    loaded = time.perf_counter()
    index.flush()
    index.optimize()
    finished = time.perf_counter()
    index.close()
    stored.flush()
    report = {"points": points, "load_s": round(loaded - started, 1), "graph_s": round(finished - loaded, 1)}
    (out / "build.json").write_text(json.dumps(report) + "\n", encoding="utf-8")
    return report


def measure(directory: Path, in_flight: Sequence[int], batches: Sequence[int], seconds: float) -> dict[str, Any]:
    """Open the shard of `directory` and return its latency, memory, disk and recall."""
    report = json.loads((directory / "build.json").read_text(encoding="utf-8"))
    points = int(report["points"])
    before = _resident_bytes()
    started = time.perf_counter()
    index = EdgeIndex(directory / "shard", DIMENSION)
    opened = time.perf_counter() - started
    queries = Vectors(points).draw(QUERIES, stream=0)
    wanted = _exact(directory / "vectors.npy", queries)
    found = [[hit.id for hit in hits] for hits in index.search([_query(row) for row in queries])]
    recall = np.mean([len(set(got) & set(want)) / TOP_K for got, want in zip(found, wanted, strict=True)])
    runs = [_searches(index, queries, batch, threads, seconds) for batch, threads in _grid(in_flight, batches)]
    memory = _resident_bytes() - before
    index.close()
    disk = sum(path.stat().st_blocks * 512 for path in (directory / "shard").rglob("*") if path.is_file())
    return {
        **report,
        "open_s": round(opened, 2),
        "recall_at_10": round(float(recall), 4),
        "resident_mb": round(memory / 1e6, 1),
        "disk_mb": round(disk / 1e6, 1),
        "searches": runs,
    }


def _grid(in_flight: Sequence[int], batches: Sequence[int]) -> list[tuple[int, int]]:
    """Batches one at a time, and single queries by several threads: what waits becomes a batch in the server."""
    return [(batch, 1) for batch in batches] + [(1, threads) for threads in in_flight if threads > 1]


def _searches(
    index: EdgeIndex, queries: NDArray[np.float32], batch: int, threads: int, seconds: float
) -> dict[str, Any]:
    latencies: list[float] = []
    end = time.perf_counter() + seconds

    def work(worker: int) -> None:
        place = worker * 31
        while time.perf_counter() < end:
            rows = [_query(queries[(place + n) % len(queries)]) for n in range(batch)]
            place += batch
            start = time.perf_counter()
            index.search(rows)
            latencies.append(time.perf_counter() - start)

    started = time.perf_counter()
    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    summary = summarise(latencies)
    return {
        "batch": batch,
        "in_flight": threads,
        "queries_per_s": round(len(latencies) * batch / (time.perf_counter() - started), 1),
        **{f"{name}_ms": round(value, 2) for name, value in summary.quantiles.items()},
    }


def _query(row: NDArray[np.float32]) -> VectorQuery:
    return VectorQuery(vector_name="image", vector=row, limit=TOP_K)


def _exact(path: Path, queries: NDArray[np.float32]) -> list[list[str]]:
    """Return the ids of the best products by comparing every vector, a part at a time."""
    stored = np.load(path, mmap_mode="r")
    scores = np.full((len(queries), TOP_K), -2.0, np.float32)
    places = np.zeros((len(queries), TOP_K), np.int64)
    step = 20_000
    for start in range(0, len(stored), step):
        part = queries @ np.asarray(stored[start : start + step]).T
        best = np.argpartition(-part, min(TOP_K, part.shape[1] - 1), axis=1)[:, :TOP_K]
        scores = np.concatenate([scores, np.take_along_axis(part, best, 1)], axis=1)
        places = np.concatenate([places, best + start], axis=1)
        keep = np.argsort(-scores, axis=1)[:, :TOP_K]
        scores, places = np.take_along_axis(scores, keep, 1), np.take_along_axis(places, keep, 1)
    return [[point_id(str(place)) for place in row] for row in places]


def _resident_bytes() -> int:
    pages = int(read_process(os.getpid(), "statm").split()[1])
    return pages * 4096


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    maker = commands.add_parser("build", help="build one shard")
    maker.add_argument("--points", type=int, required=True, help="how many products")
    maker.add_argument("--out", type=Path, required=True, help="a directory that does not exist yet")
    meter = commands.add_parser("measure", help="measure shards")
    meter.add_argument("directories", type=Path, nargs="+", help="what `build` made")
    meter.add_argument("--seconds", type=float, default=5.0, help="of each measurement (default %(default)s)")
    meter.add_argument("--out", type=Path, help="JSON file")
    arguments = parser.parse_args(argv)
    if arguments.command == "build":
        print(json.dumps(build(arguments.points, arguments.out)))
        return 0
    results = []
    for directory in arguments.directories:
        results.append(measure(directory, (1, 2, 4, 16, 64), (1, 4, 16, 64), arguments.seconds))
        print(json.dumps(results[-1]), flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
