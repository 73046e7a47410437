"""Makes Qdrant Edge shards: a large one in another process, since the engine holds the GIL while it works."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from product_match.contract.encoder import EncoderSpec
from product_match.contract.errors import CancelledError, ProductMatchError
from product_match.host import launcher
from product_match.host.interpreter import python_executable, python_path
from product_match.index.points import PointMaker
from product_match.index.rebuilding import Report
from product_match.settings import ServingSettings
from product_match.vectors.edge_directory import LOG_SUFFIX, EdgeDirectory
from product_match.vectors.edge_index import EdgeIndex
from product_match.vectors.vector_index import VectorIndex
from product_match.words.encoding import WordsRecipe

logger = logging.getLogger(__name__)

DERIVATION_MODULE: Final = "product_match.index.derivation"
_ERROR_CHARACTERS: Final = 500


class EdgeBuilder:
    """Makes shards in a directory."""

    def __init__(self, settings: ServingSettings, encoder: EncoderSpec, directory: EdgeDirectory) -> None:
        """Make shards for `encoder` in `directory`."""
        self._settings = settings
        self._encoder = encoder
        self._directory = directory

    def empty(self, points: PointMaker) -> VectorIndex:
        """Return a new shard without points."""
        shard = self._directory.fresh()
        self._directory.note_recipe(shard, points.recipe.to_json())
        return EdgeIndex(shard, self._encoder.embedding_dim)

    def derived(self, points: PointMaker, report: Report, cancelled: threading.Event) -> VectorIndex:
        """Return a new shard with the points of all documents, made by a process of its own."""
        shard = self._directory.fresh()
        log = shard.with_name(shard.name + LOG_SUFFIX)
        try:
            with log.open("wb") as errors:
                process = subprocess.Popen(
                    _command(shard, points.recipe),
                    env=self._environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                )
            with process, _killed_when(cancelled, process):
                for line in process.stdout or ():
                    progress = json.loads(line)
                    report(progress["stage"], int(progress["points"]))
            if cancelled.is_set():
                raise CancelledError("it was cancelled")
            if process.returncode:
                raise ProductMatchError(
                    f"the process that derives the index ended with {process.returncode}: "
                    f"{log.read_text(errors='replace').strip()[-_ERROR_CHARACTERS:]}"
                )
            self._directory.note_recipe(shard, points.recipe.to_json())
            return EdgeIndex(shard, self._encoder.embedding_dim)
        except BaseException:
            shutil.rmtree(shard, ignore_errors=True)
            raise
        finally:
            log.unlink(missing_ok=True)

    def adopt(self, index: VectorIndex) -> None:
        """Let `CURRENT` name the shard."""
        self._directory.switch(_shard(index).directory)

    def discard(self, index: VectorIndex) -> None:
        """Close and remove a shard."""
        index.close()
        shutil.rmtree(_shard(index).directory, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self._settings.to_environment(), "PYTHONPATH": python_path()}


def _command(shard: Path, recipe: WordsRecipe) -> list[str]:
    """Return the command of the process, which is killed together with the thread that starts it."""
    python = python_executable()
    launched = [python, "-I", "-S", launcher.__file__, str(os.getpid())]
    return [*launched, python, "-m", DERIVATION_MODULE, str(shard), recipe.to_json()]


@contextlib.contextmanager
def _killed_when(cancelled: threading.Event, process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill `process` once `cancelled` is set, while the block runs."""
    finished = threading.Event()

    def watch() -> None:
        while not finished.wait(0.2):
            if cancelled.is_set():
                process.kill()
                return

    watcher = threading.Thread(target=watch, name="rebuild-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()


def _shard(index: VectorIndex) -> EdgeIndex:
    if not isinstance(index, EdgeIndex):
        raise TypeError(f"expected a shard, got {type(index).__name__}")
    return index
