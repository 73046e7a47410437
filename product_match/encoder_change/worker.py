"""Changes the encoder of the catalogue that is served, as `reindex.json` asks: the worker.

`product-match serve` starts it, with the server's settings in its environment, and says how the change ended once
this process has: then clients know of the new encoder, and the next change may be asked for. It may be killed at any
moment: what is served is what `state.json` names, and all that was embedded is found again by the next one.

1. Every product is embedded into the new generation's documents, while the old generation's writers note what they
   change; what was noted is brought over until little is left.
2. The new index is derived, and the new encoder's models are loaded beside the old ones, under names of their own.
3. `catalogue` and `product_index` are led to the new models, which hold what comes; once the last write of the old
   ones is done (their processes have ended), what it changed is brought over, searches are led to the new models, and
   `state.json` names the new generation: what is held is answered.
4. The old models end. Their documents and index stay for a rollback; those from before them are removed.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from product_match.contract.encoder import load_encoder
from product_match.contract.errors import ConfigError, ProductMatchError, StackError
from product_match.contract.models import CATALOGUE, INDEXING, PRODUCT_INDEX
from product_match.documents.filling import note_filling
from product_match.documents.store import DocumentStore, open_documents
from product_match.encoder_change.embedding import Embedder
from product_match.encoder_change.generations import (
    Generations,
    read_generations,
    served_generation,
    write_generations,
)
from product_match.encoder_change.model_control import ModelControl
from product_match.encoder_change.models import ModelsLock, model_variables
from product_match.encoder_change.requests import (
    EMBEDDING,
    ENDING,
    LOADING,
    OVER,
    RUNNING,
    SWITCHING,
    ChangeReport,
    read_change,
    write_change,
)
from product_match.encoder_change.transfer import Transfer
from product_match.encoder_change.writers import ChangeRecorder, stop_noting
from product_match.encoding.processors import processor_name
from product_match.host.polling import wait_until
from product_match.host.processes import children_of, model_of, wait_until_gone
from product_match.host.state_layout import StateLayout
from product_match.index.derivation import STORE_TIMEOUT_S, derive
from product_match.index.points import PointMaker
from product_match.repository.assembly import (
    add_composing_models,
    composing_names,
    entry_points,
    write_entry_point,
)
from product_match.settings import ServingSettings
from product_match.triton.flags import ADMIN_KEY_VARIABLE
from product_match.vectors.edge_directory import CLEAN_FILE, EdgeDirectory
from product_match.vectors.edge_index import EdgeIndex
from product_match.words.encoding import WordsRecipe

logger = logging.getLogger(__name__)

NICENESS: Final = 10
CATCH_UP_ROUNDS: Final = 20
FEW_CHANGES: Final = 50
IN_STEP_TIMEOUT_S: Final = 60.0
LEAVE_TIMEOUT_S: Final = 15.0
"""Longest wait for the old writers' last answers; requests are held meanwhile."""

READY_TIMEOUT_S: Final = 120.0
END_TIMEOUT_S: Final = 30.0


class EncoderChange:
    """One change, from the first product to the end of the old models."""

    def __init__(self, settings: ServingSettings, adapters: Path, grpc_address: str, admin_key: str) -> None:
        """Prepare what `reindex.json` asks for.

        Args:
            settings: Of the generation that is served.
            adapters: The committed model repository.
            grpc_address: Where Triton answers.
            admin_key: What Triton's model control asks for.

        Raises:
            ConfigError: There is nothing to change, or the encoder that was asked for is not there any more.
        """
        if settings.state_directory is None:
            raise ConfigError(
                "the encoder changes only where a state directory is; set PRODUCT_MATCH_STATE_DIRECTORY"
            )
        self._state = StateLayout(settings.state_directory)
        self._old = served_generation(self._state.path)
        self._report = ChangeReport(self._state.path)
        asked = self._report.change
        self._directory = Path(asked["directory"])
        self._before = read_generations(self._state.path)
        self._new = self._before.next(str(asked["encoder"]), self._directory)
        self._spec = load_encoder(self._directory)
        if self._spec.identity != self._new.encoder:
            raise ConfigError(
                f"{self._directory} held the encoder {self._new.encoder} when it was asked for, and now holds "
                f"{self._spec.identity}; ask again"
            )
        self._settings = dataclasses.replace(settings, store_timeout_s=STORE_TIMEOUT_S)
        self._variables = model_variables(self._state, self._new)
        self._adapters, self._grpc_address, self._admin_key = adapters, grpc_address, admin_key
        self._recorder = ChangeRecorder(self._state.path)
        self._models_lock = ModelsLock(self._state.path)

    def run(self) -> None:
        """Change the encoder.

        Raises:
            ProductMatchError: It did not work; the old encoder is still served.
        """
        self._report.tell(state=RUNNING, stage=EMBEDDING, done=0, pid=os.getpid())
        source = open_documents(self._settings, self._old.encoder)
        changed = dataclasses.replace(self._settings, generation=self._new.name, state_directory=None)
        target = open_documents(changed, self._new.encoder)
        embedder = Embedder(self._spec, self._directory, self._settings.encoder_threads)
        transfer = Transfer(source, target, embedder, self._report.count)
        try:
            self._report.tell(total=source.count())
            self._recorder.start()
            self._embed(transfer, target)
            # Until now Triton was not needed, and may have been started again. From here on it is this process's, to
            # its end: what it leaves behind when it is killed is put in order before anybody else gets the models.
            triton_pid = self._models_lock.take(READY_TIMEOUT_S)
            self._replace_models(triton_pid, transfer, target)
            remove_others(source, self._state.index, read_generations(self._state.path))
            self._report.tell(
                stage=OVER,
                products=target.count(),
                embedded=transfer.embedded,
                reused=transfer.reused,
            )
        finally:
            stop_noting(self._state.path)
            embedder.close()
            source.close()
            target.close()

    def _replace_models(self, triton_pid: int, transfer: Transfer, target: DocumentStore) -> None:
        """Put the new encoder's models in the place of the old one's."""
        with ModelControl(self._grpc_address, self._admin_key) as control:
            old = {pid: model_of(command) for pid, command in children_of(triton_pid).items()}
            self._load(control)
            self._catch_up(transfer)
            self._wait_in_step(target)
            writers = (CATALOGUE, INDEXING + self._old.model_suffix)
            self._switch(control, transfer, target, [pid for pid, model in old.items() if model in writers])
            self._end(control, list(old))

    def _embed(self, transfer: Transfer, target: DocumentStore) -> None:
        directory = EdgeDirectory(self._state.index, self._spec.revision, self._spec.embedding_dim)
        # An index that was closed in order is in step with its documents, but for those that are marked pending.
        transfer.applied = (directory.path / CLEAN_FILE).exists() and target.count() > 0
        if not transfer.applied:
            shutil.rmtree(directory.path)
            directory = EdgeDirectory(self._state.index, self._spec.revision, self._spec.embedding_dim)
        note_filling(target, f"{self._spec.precision} on {processor_name()}")
        transfer.everything()
        self._catch_up(transfer)
        transfer.check()
        self._report.tell(embedded=transfer.embedded, reused=transfer.reused)
        if not transfer.applied:
            self._report.tell(stage="building the index")
            shard = directory.fresh()
            index = EdgeIndex(shard, self._spec.embedding_dim)
            points = PointMaker(WordsRecipe())
            derive(target, index, points)
            index.close()
            directory.note_recipe(shard, points.recipe.to_json())
            directory.switch(shard)
            directory.mark_clean()
            transfer.applied = True
        self._catch_up(transfer)

    def _load(self, control: ModelControl) -> None:
        self._report.tell(stage=LOADING)
        suffix, repository = self._new.model_suffix, self._state.model_repository
        add_composing_models(self._adapters, self._spec, repository, suffix, self._variables)
        for model in composing_names(self._spec, suffix):
            control.load(model)

    def _switch(
        self, control: ModelControl, transfer: Transfer, target: DocumentStore, old_writers: Sequence[int]
    ) -> None:
        """Let the entry points lead to the new models, and the catalogue change hands.

        Args:
            control: Of the models.
            transfer: Brings over what the old writers change last.
            target: The new documents.
            old_writers: The processes that write for the old encoder.
        """
        self._report.tell(stage=SWITCHING)
        self._lead(control, CATALOGUE)
        held_since = time.monotonic()
        self._lead(control, PRODUCT_INDEX)
        control.unload(INDEXING + self._old.model_suffix)
        if not wait_until_gone(old_writers, LEAVE_TIMEOUT_S):
            raise StackError(f"waited {LEAVE_TIMEOUT_S:g} s for the old writers' end; run the same command again")
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
        repository, suffix = self._state.model_repository, self._new.model_suffix
        write_entry_point(name, self._spec, repository, suffix, self._variables)
        control.load(name)

    def _end(self, control: ModelControl, old_processes: Sequence[int]) -> None:
        old_models = composing_names(self._spec, self._old.model_suffix)
        for model in old_models:
            if not model.startswith(INDEXING):
                control.unload(model)
        if not wait_until_gone(old_processes, END_TIMEOUT_S):
            raise StackError(f"the old encoder's models did not end within {END_TIMEOUT_S:g} s; see Triton's log")
        for model in old_models:
            shutil.rmtree(self._state.model_repository / model, ignore_errors=True)

    def _catch_up(self, transfer: Transfer) -> None:
        for _ in range(CATCH_UP_ROUNDS):
            changed = self._recorder.take()
            transfer.products(changed)
            if len(changed) <= FEW_CHANGES:
                return

    def _wait_in_step(self, target: DocumentStore) -> None:
        if not wait_until(lambda: not target.count_pending(), IN_STEP_TIMEOUT_S):
            raise StackError(
                f"waited {IN_STEP_TIMEOUT_S:g} s for the new index to be in step; run the same command again"
            )


def remove_others(documents: DocumentStore, index_root: Path, generations: Generations) -> None:
    """Remove the documents and indexes that belong neither to the encoder that is served nor to the one before."""
    kept = [generation for generation in (generations.current, generations.previous) if generation is not None]
    documents.remove_generations(kept=[generation.name for generation in kept])
    revisions = {generation.revision for generation in kept}
    for directory in index_root.iterdir():
        if directory.is_dir() and directory.name not in revisions:
            shutil.rmtree(directory, ignore_errors=True)


def main(arguments: Sequence[str]) -> int:
    """Change the encoder, given the committed model repository and where Triton's gRPC answers."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.nice(NICENESS)
    adapters, grpc_address = arguments
    environment = dict(os.environ)
    admin_key = environment.pop(ADMIN_KEY_VARIABLE)
    settings = ServingSettings.from_environment(environment)
    try:
        EncoderChange(settings, Path(adapters), grpc_address, admin_key).run()
    except ProductMatchError as error:
        logger.error("%s", error)
        state = settings.state_directory
        if state is not None:
            write_change(state, {**read_change(state), "message": str(error)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
