"""Changes the encoder of the catalogue that is served: `python -m product_match.encoder_change.worker TASK`.

`product-match serve` starts it, with the server's settings in its environment, and says how the change ended once
this process has: then clients know of the new encoder, and the next change may be asked for. It may be killed at any
moment: what is served is what `state.json` names, and all that was embedded is found again by the next one.

1. Every product is embedded into the new generation's documents, while the old generation's writers note what they
   change; what was noted is brought over until little is left.
2. The new index is derived, and the new encoder's models are loaded beside the old ones, under names of their own.
3. `catalogue` and `product_index` are led to the new models, which hold what comes; once the last write of the old
   ones is done, what it changed is brought over, searches are led to the new models, and `state.json` names the new
   generation: what is held is answered.
4. The old models end. Their documents and index stay for a rollback; those from before them are removed.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from product_match.contract.encoder import load_encoder
from product_match.contract.errors import ConfigError, ProductMatchError, StackError
from product_match.contract.models import CATALOGUE, INDEXING, PRODUCT_INDEX
from product_match.documents.store import DocumentStore, open_documents
from product_match.encoder_change.embedding import Embedder
from product_match.encoder_change.generations import Generations, read_generations, write_generations
from product_match.encoder_change.handover import ChangeRecorder, has_left
from product_match.encoder_change.model_control import ModelControl
from product_match.encoder_change.requests import (
    ENDING,
    RUNNING,
    SWITCHING,
    read_change,
    read_models,
    succeeding,
    write_change,
)
from product_match.encoder_change.task import ADMIN_KEY_VARIABLE, ReindexTask, generation_variables
from product_match.encoder_change.transfer import Transfer
from product_match.host.processes import children_of, wait_until_gone
from product_match.host.state_layout import StateLayout
from product_match.index.derivation import STORE_TIMEOUT_S, derive
from product_match.repository.assembly import (
    add_composing_models,
    composing_names,
    entry_points,
    write_entry_point,
)
from product_match.settings import ServingSettings
from product_match.vectors.edge_directory import CLEAN_FILE, EdgeDirectory
from product_match.vectors.edge_index import EdgeIndex

logger = logging.getLogger(__name__)

NICENESS: Final = 10
CATCH_UP_ROUNDS: Final = 20
FEW_CHANGES: Final = 50
IN_STEP_TIMEOUT_S: Final = 60.0
LEAVE_TIMEOUT_S: Final = 15.0
"""Longest wait for the old writers' last answers; requests are held meanwhile."""

READY_TIMEOUT_S: Final = 120.0
END_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.02
_REPORT_S: Final = 0.5


class ChangeReport:
    """Writes how the change gets on, for `status` and for whoever looks after this process."""

    def __init__(self, state_directory: Path) -> None:
        """Go on from what was asked for."""
        self._directory = state_directory
        self._change = read_change(state_directory)
        self._started = time.monotonic()
        self._written = float("-inf")

    def tell(self, **fields: Any) -> None:
        """Note `fields`, and write them now."""
        self._change |= {**fields, "seconds": round(time.monotonic() - self._started, 1)}
        write_change(self._directory, self._change)
        self._written = time.monotonic()

    def count(self, done: int) -> None:
        """Note how many products were compared, and write it now and then."""
        if time.monotonic() - self._written > _REPORT_S:
            self.tell(done=done)


class EncoderChange:
    """One change, from the first product to the end of the old models."""

    def __init__(self, task: ReindexTask, settings: ServingSettings, admin_key: str) -> None:
        """Prepare."""
        self._task = task
        self._state = StateLayout(Path(task.state_directory))
        self._before = read_generations(self._state.path)
        if self._before.current is None:
            raise ConfigError(f"{self._state.path} names no encoder that is served; start the server again")
        self._old = self._before.current
        self._new = succeeding(self._state.path, task.encoder, Path(task.directory))
        self._spec = load_encoder(Path(task.directory))
        if self._spec.identity != task.encoder:
            raise ConfigError(
                f"{task.directory} held the encoder {task.encoder} when it was asked for, and now holds "
                f"{self._spec.identity}; ask again"
            )
        self._settings = dataclasses.replace(settings, store_timeout_s=STORE_TIMEOUT_S)
        self._variables = generation_variables(self._state, self._new)
        self._admin_key = admin_key
        self._report = ChangeReport(self._state.path)
        self._recorder = ChangeRecorder(self._state.path)

    def run(self) -> None:
        """Change the encoder.

        Raises:
            ProductMatchError: It did not work; the old encoder is still served.
        """
        self._report.tell(state=RUNNING, stage="embedding", done=0, touched=False, pid=os.getpid())
        source = open_documents(self._settings, self._old.encoder)
        changed = dataclasses.replace(self._settings, generation=self._new.name, state_directory=None)
        target = open_documents(changed, self._new.encoder)
        embedder = Embedder(self._spec, Path(self._task.directory), self._settings.encoder_threads)
        transfer = Transfer(source, target, embedder, self._report.count)
        try:
            self._report.tell(total=source.count())
            self._recorder.start()
            self._embed(transfer, target)
            with ModelControl(self._task.grpc, self._admin_key) as control:
                # Until now Triton was not needed, and may have been started again. Whoever started it has to know
                # that it is ready: until then it ends a change that loads models, and notes half-loaded ones.
                self._wait_for(lambda: read_models(self._state.path).ready, READY_TIMEOUT_S, "Triton's start")
                control.wait_ready(READY_TIMEOUT_S)
                models = read_models(self._state.path)
                old_processes = list(children_of(models.triton_pid))
                self._load(control)
                self._catch_up(transfer)
                self._wait_in_step(target)
                self._switch(control, transfer, target, models.suffix)
                self._end(control, source, composing_names(self._spec, models.suffix), old_processes)
            self._report.tell(
                stage="",
                touched=False,
                products=target.count(),
                embedded=transfer.embedded,
                reused=transfer.reused,
            )
        finally:
            self._recorder.stop()
            embedder.close()
            source.close()
            target.close()

    def _embed(self, transfer: Transfer, target: DocumentStore) -> None:
        directory = EdgeDirectory(self._state.index, self._spec.revision, self._spec.embedding_dim)
        # An index that was closed in order is in step with its documents, but for those that are marked pending.
        transfer.applied = (directory.path / CLEAN_FILE).exists() and target.count() > 0
        if not transfer.applied:
            shutil.rmtree(directory.path)
            directory = EdgeDirectory(self._state.index, self._spec.revision, self._spec.embedding_dim)
        transfer.everything()
        self._catch_up(transfer)
        transfer.check()
        self._report.tell(embedded=transfer.embedded, reused=transfer.reused)
        if not transfer.applied:
            self._report.tell(stage="building the index")
            shard = directory.fresh()
            index = EdgeIndex(shard, self._spec.embedding_dim)
            derive(target, index)
            index.close()
            directory.switch(shard)
            directory.mark_clean()
            transfer.applied = True
        self._catch_up(transfer)

    def _load(self, control: ModelControl) -> None:
        self._report.tell(stage="loading the models", touched=True)
        adapters, suffix = Path(self._task.adapters), self._task.new_suffix
        add_composing_models(adapters, self._spec, self._state.model_repository, suffix, self._variables)
        for model in composing_names(self._spec, suffix):
            control.load(model)

    def _switch(self, control: ModelControl, transfer: Transfer, target: DocumentStore, suffix: str) -> None:
        """Let the entry points lead to the new models, and the catalogue change hands; `suffix`: of the old ones."""
        self._report.tell(stage=SWITCHING)
        self._lead(control, CATALOGUE)
        held_since = time.monotonic()
        self._lead(control, PRODUCT_INDEX)
        control.unload(INDEXING + suffix)
        self._wait_for(lambda: has_left(self._state.path, self._old.name), LEAVE_TIMEOUT_S, "the old writers' end")
        transfer.products(self._recorder.take())
        transfer.check()
        self._wait_in_step(target)
        for name in entry_points(self._spec):
            if name not in (CATALOGUE, PRODUCT_INDEX):
                self._lead(control, name)
        write_generations(self._state.path, self._before.succeeded_by(self._new))
        self._report.tell(stage=ENDING, held_s=round(time.monotonic() - held_since, 3))

    def _lead(self, control: ModelControl, name: str) -> None:
        """Let an entry point lead to the new models."""
        repository, suffix = self._state.model_repository, self._task.new_suffix
        write_entry_point(name, self._spec, repository, suffix, self._variables)
        control.load(name)

    def _end(
        self, control: ModelControl, source: DocumentStore, old_models: Sequence[str], old_processes: Sequence[int]
    ) -> None:
        for model in old_models:
            if not model.startswith(INDEXING):
                control.unload(model)
        if not wait_until_gone(old_processes, END_TIMEOUT_S):
            raise StackError(f"the old encoder's models did not end within {END_TIMEOUT_S:g} s; see Triton's log")
        for model in old_models:
            shutil.rmtree(self._state.model_repository / model, ignore_errors=True)
        remove_others(source, self._state.index, read_generations(self._state.path))

    def _catch_up(self, transfer: Transfer) -> None:
        for _ in range(CATCH_UP_ROUNDS):
            changed = self._recorder.take()
            transfer.products(changed)
            if len(changed) <= FEW_CHANGES:
                return

    def _wait_in_step(self, target: DocumentStore) -> None:
        self._wait_for(lambda: not target.count_pending(), IN_STEP_TIMEOUT_S, "the new index to be in step")

    def _wait_for(self, reached: Callable[[], bool], timeout_s: float, what: str) -> None:
        give_up = time.monotonic() + timeout_s
        while not reached():
            if time.monotonic() > give_up:
                raise StackError(f"waited {timeout_s:g} s for {what}, in vain; run the same command again")
            time.sleep(_POLL_S)


def remove_others(documents: DocumentStore, index_root: Path, generations: Generations) -> None:
    """Remove the documents and indexes that belong neither to the encoder that is served nor to the one before."""
    kept = [generation for generation in (generations.current, generations.previous) if generation is not None]
    documents.remove_generations(kept=[generation.name for generation in kept])
    revisions = {generation.revision for generation in kept}
    for directory in index_root.iterdir():
        if directory.is_dir() and directory.name not in revisions:
            shutil.rmtree(directory, ignore_errors=True)


def main(arguments: Sequence[str]) -> int:
    """Perform the task that the argument holds."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.nice(NICENESS)
    task = ReindexTask.from_json(arguments[0])
    environment = dict(os.environ)
    admin_key = environment.pop(ADMIN_KEY_VARIABLE)
    try:
        EncoderChange(task, ServingSettings.from_environment(environment), admin_key).run()
    except ProductMatchError as error:
        logger.error("%s", error)
        state = Path(task.state_directory)
        write_change(state, {**read_change(state), "message": str(error)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
