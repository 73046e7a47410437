"""Opens the catalogue for a process: documents, the owner of the index, and for retrieval the index itself."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from product_match.contract.encoder import EncoderSpec
from product_match.contract.errors import ConfigError
from product_match.documents.leases import Lease
from product_match.documents.rules import RulesKeeper
from product_match.documents.statistics import prepare_following
from product_match.documents.store import DocumentStore, open_documents
from product_match.encoder_change.writers import WriteGate
from product_match.index.applier import Applier
from product_match.index.background_verification import BackgroundVerification
from product_match.index.owner import IndexOwner, LocalOwner
from product_match.index.owner_socket import OwnerClient, OwnerServer
from product_match.index.points import PointMaker
from product_match.index.product_cache import CachedProducts
from product_match.index.rebuild_schedule import RebuildSchedule
from product_match.index.rebuilding import Rebuilder
from product_match.settings import ServingSettings, VectorIndexKind
from product_match.statistics.keeping import StatisticsKeeper
from product_match.triton.proof import proofs
from product_match.vectors.swappable_index import SwappableIndex
from product_match.vectors.vector_index import VectorIndex
from product_match.words.analysis import Analyser
from product_match.words.encoding import WordsRecipe

if TYPE_CHECKING:
    from product_match.vectors.edge_directory import EdgeDirectory, OpenedShard

logger = logging.getLogger(__name__)

SHARED_POLL_S: Final = 0.1
"""How often an applier looks where another process may have written: it cannot be woken from there."""


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """What a Python model of the catalogue works with.

    Attributes:
        encoder: Whose embeddings it holds.
        documents: The truth.
        owner: What to ask of the index, wherever it is.
        state_directory: Where a change of encoder is written down; None where none can happen.
        gate: Says whether the catalogue is this encoder's yet.
        proofs: Tells what the comparisons of its encoders with FP32 have found, by model.
    """

    encoder: EncoderSpec
    documents: DocumentStore
    owner: IndexOwner
    state_directory: Path | None = None
    gate: WriteGate = field(default_factory=lambda: WriteGate(None, "", ""))
    proofs: Callable[[], Mapping[str, Mapping[str, Any]]] = dict
    _open: contextlib.ExitStack = field(repr=False)

    def close(self) -> None:
        """Stop threads and close everything, in the opposite order of opening."""
        self._open.close()


@dataclass(frozen=True, kw_only=True)
class SearchableCatalogue(Catalogue):
    """A catalogue together with the index to search.

    Attributes:
        index: The vector index.
        verification: The comparison after a start that cannot trust the index; None where it can.
        cache: The products in memory, where this process sees every change; None where it does not.
        statistics: What is known of the catalogue as a whole.
        rules: What the shop wants shown first or last.
        language: Of its words.
    """

    index: VectorIndex
    statistics: StatisticsKeeper
    rules: RulesKeeper
    language: str
    verification: BackgroundVerification | None = None
    cache: CachedProducts | None = None

    @property
    def products(self) -> CachedProducts:
        """What answers show of products."""
        return CachedProducts(self.documents, lambda: False) if self.cache is None else self.cache


def open_for_retrieval(settings: ServingSettings, encoder: EncoderSpec) -> SearchableCatalogue:
    """Open documents and index; with Qdrant Edge also become its owner: apply pending products and serve the socket.

    Raises:
        ConfigError: Settings or state do not fit; the message says which.
        UnavailableError: A store does not answer.
    """
    with contextlib.ExitStack() as opened:
        gate = WriteGate(settings.state_directory, settings.generation, encoder.identity)
        documents = open_documents(settings, encoder.identity, gate)
        opened.callback(documents.close)
        if settings.vector_index is VectorIndexKind.EDGE:
            return _own_edge(settings, encoder, documents, opened)
        index, owner = _share_server(settings, encoder, documents, opened, applies=False)
        recipe = WordsRecipe()
        prepare_following(documents)
        keeper = StatisticsKeeper(
            documents,
            encoder.embedding_dim,
            Analyser(recipe.language),
            lease=Lease(documents.meta, f"statistics_{documents.products.name}"),
        )
        opened.callback(keeper.close)
        keeper.start()
        rules = _rules(documents, opened)
        return SearchableCatalogue(
            encoder=encoder,
            documents=documents,
            owner=owner,
            index=index,
            statistics=keeper,
            rules=rules,
            language=recipe.language,
            _open=opened.pop_all(),
        )


def open_for_writing(settings: ServingSettings, encoder: EncoderSpec) -> Catalogue:
    """Open documents, and reach the owner of the index; with a Qdrant server, apply pending products here.

    Raises:
        ConfigError: Settings or state do not fit; the message says which.
        UnavailableError: A store does not answer.
    """
    with contextlib.ExitStack() as opened:
        gate = WriteGate(settings.state_directory, settings.generation, encoder.identity)
        documents = open_documents(settings, encoder.identity, gate)
        opened.callback(documents.close)
        if settings.vector_index is VectorIndexKind.EDGE:
            _, socket_path = _edge_paths(settings)
            owner = OwnerClient(socket_path)
            place = settings.state_directory
            return Catalogue(
                encoder=encoder,
                documents=documents,
                owner=owner,
                gate=gate,
                state_directory=place,
                proofs=partial(proofs, settings, encoder),
                _open=opened.pop_all(),
            )
        _, shared = _share_server(settings, encoder, documents, opened, applies=True)
        told = partial(proofs, settings, encoder)
        return Catalogue(encoder=encoder, documents=documents, owner=shared, proofs=told, _open=opened.pop_all())


def _own_edge(
    settings: ServingSettings, encoder: EncoderSpec, documents: DocumentStore, opened: contextlib.ExitStack
) -> SearchableCatalogue:
    # Imported here: an installation for a Qdrant server has no Qdrant Edge.
    from product_match.index.edge_builder import EdgeBuilder
    from product_match.index.edge_replacement import EdgeReplacement
    from product_match.vectors.edge_directory import EdgeDirectory

    root, socket_path = _edge_paths(settings)
    directory = EdgeDirectory(root, encoder.revision, encoder.embedding_dim)
    shard = directory.open()
    index = SwappableIndex(shard.index)
    recipe = _recipe_of(shard, directory)
    cache = CachedProducts(documents, lambda: applier.in_step())
    keeper = StatisticsKeeper(documents, encoder.embedding_dim, Analyser((recipe or WordsRecipe()).language))
    opened.callback(keeper.close)
    applier = Applier(
        documents, index, PointMaker(recipe or WordsRecipe()), changing=cache.forget, applied=keeper.applied
    )
    builder = EdgeBuilder(settings, encoder, directory)
    replacement = EdgeReplacement(
        documents,
        index,
        applier,
        builder,
        recipe=lambda: _fresh_recipe(keeper),
        replaced=keeper.count_again,
    )
    rebuilder = Rebuilder(replacement)
    owner = LocalOwner(documents, index, applier, rebuilder, settings.vector_index.value)
    verification = None if shard.in_step else BackgroundVerification(documents, owner)

    def close_shard() -> None:
        index.close()
        if verification is None or verification.done:
            directory.mark_clean()

    opened.callback(close_shard)
    opened.callback(owner.close)
    opened.callback(OwnerServer(socket_path, owner).close)
    applier.start()
    keeper.start()
    rules = _rules(documents, opened)
    if recipe is None:
        logger.info("the words of the index are missing or of another version: it is derived again in the background")
        rebuilder.start()
    schedule = RebuildSchedule(index.count, lambda: index.ask(_count_unindexed), applier, rebuilder)
    opened.callback(schedule.close)
    schedule.start()
    if verification is not None:
        opened.callback(verification.close)
        verification.start()
    return SearchableCatalogue(
        encoder=encoder,
        documents=documents,
        owner=owner,
        index=index,
        verification=verification,
        cache=cache,
        statistics=keeper,
        rules=rules,
        language=applier.points.recipe.language,
        _open=opened.pop_all(),
    )


def _rules(documents: DocumentStore, opened: contextlib.ExitStack) -> RulesKeeper:
    rules = RulesKeeper(documents)
    opened.callback(rules.close)
    rules.start()
    return rules


def _recipe_of(shard: OpenedShard, directory: EdgeDirectory) -> WordsRecipe | None:
    """Return how the words of a shard were made; None where they have to be made anew."""
    if shard.recipe is not None:
        try:
            recipe = WordsRecipe.from_json(shard.recipe)
        except ConfigError as error:
            logger.warning("%s", error)
            return None
        return recipe if recipe.fits else None
    if shard.index.count():
        return None
    recipe = WordsRecipe()
    directory.note_recipe(shard.index.directory, recipe.to_json())
    return recipe


def _fresh_recipe(keeper: StatisticsKeeper) -> WordsRecipe:
    average = keeper.current.vocabulary.average_length
    return WordsRecipe() if average is None else WordsRecipe(average_length=round(average, 1))


def _count_unindexed(index: VectorIndex) -> int:
    from product_match.vectors.edge_index import EdgeIndex

    return index.count_unindexed() if isinstance(index, EdgeIndex) else 0


def _share_server(
    settings: ServingSettings,
    encoder: EncoderSpec,
    documents: DocumentStore,
    opened: contextlib.ExitStack,
    *,
    applies: bool,
) -> tuple[VectorIndex, IndexOwner]:
    # Imported here: an embedded installation need not have qdrant-client.
    from product_match.index.server_comparison import ServedIndex
    from product_match.index.server_owner import ServerOwner
    from product_match.index.server_replacement import LeftoverSweep, ServerReplacement
    from product_match.vectors.server_channel import QdrantChannel
    from product_match.vectors.server_collections import CollectionLayout, ServerCollections
    from product_match.vectors.server_index import ServerIndex

    channel = QdrantChannel(settings.qdrant_url, settings.qdrant_api_key.value, settings.qdrant_ca_file)
    opened.callback(channel.close)
    points = PointMaker(WordsRecipe())
    layout = CollectionLayout(
        shards=settings.qdrant_shards,
        replicas=settings.qdrant_replicas,
        write_copies=settings.qdrant_write_copies,
        quantised=settings.qdrant_quantised,
    )
    collections = ServerCollections(channel, settings.collection, encoder, points.recipe.to_json(), layout)
    collections.prepare()
    index = ServerIndex(
        channel,
        collections.alias,
        settings.store_timeout_s,
        owns_channel=False,
        holds_words=collections.holds_words,
    )
    view = ServedIndex(documents, index)
    replacement = ServerReplacement(documents, channel, collections, view, settings.store_timeout_s, points)
    rebuilder = Rebuilder(replacement)
    applier = None
    if applies:
        lease = Lease(documents.meta, "applier")
        applier = Applier(documents, index, points, poll_s=SHARED_POLL_S, lease=lease)
        applier.start()
        sweep = LeftoverSweep(replacement)
        opened.callback(sweep.close)
        sweep.start()
        if collections.outdated() and lease.held():
            logger.info("the words of the collection are missing or of another version: it is derived again")
            rebuilder.start()
    owner = ServerOwner(documents, index, rebuilder, applier)
    opened.callback(owner.close)
    return index, owner


def _edge_paths(settings: ServingSettings) -> tuple[Path, Path]:
    if settings.index_directory is None or settings.owner_socket is None:
        raise ConfigError("the index in process needs an index directory and an owner socket")
    return settings.index_directory, settings.owner_socket
