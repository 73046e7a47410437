"""Collections of a Qdrant server: `<name>-<encoder revision>` is the alias, `<alias>-<mark>` what is behind it.

Every process works through the alias, so a rebuild replaces the collection for all of them in one atomic step, and
vectors of different encoders never meet. The mark of each is its own, so two processes never take one collection for
theirs, and a list of collections never names one that was made after it.
"""

from __future__ import annotations

import logging
import math
import re
import time
import uuid
from dataclasses import dataclass
from typing import Any, Final

from qdrant_client import grpc as qdrant

from product_match.contract.encoder import EncoderSpec
from product_match.contract.errors import CancelledError, ConfigError, ProductMatchError
from product_match.contract.products import FILTER_FIELDS, FieldType
from product_match.contract.vectors import WORDS_VECTOR
from product_match.vectors.photo_vectors import ENGINE_VECTOR_NAMES, MORE_IMAGES_VECTOR
from product_match.vectors.server_channel import QdrantChannel

logger = logging.getLogger(__name__)

TIMEOUT_S: Final = 10.0
_BEST_OF_SEVERAL: Final = qdrant.MultiVectorConfig(comparator=qdrant.MultiVectorComparator.MaxSim)
_ENCODER_KEY: Final = "encoder"
_RECIPE_KEY: Final = "words"
_MARK_DIGITS: Final = 12
_RECHECK_S: Final = 5.0
_TYPES: Final = {FieldType.KEYWORD: qdrant.FieldTypeKeyword, FieldType.NUMBER: qdrant.FieldTypeFloat}


@dataclass(frozen=True, kw_only=True)
class CollectionLayout:
    """How a collection that is made lies in the server or cluster; 0 leaves a number to it.

    Attributes:
        shards: Parts that the points are spread over.
        replicas: Copies of each.
        write_copies: Copies that have to take a write before it counts.
        quantised: True to search INT8 in memory, with the originals on disk.
    """

    shards: int = 0
    replicas: int = 0
    write_copies: int = 0
    quantised: bool = False

    def fields(self) -> dict[str, Any]:
        """Return the fields of CreateCollection that differ from the server's own choice."""
        numbers = {
            "shard_number": self.shards,
            "replication_factor": self.replicas,
            "write_consistency_factor": self.write_copies,
        }
        chosen: dict[str, Any] = {name: number for name, number in numbers.items() if number}
        if self.quantised:
            scalar = qdrant.ScalarQuantization(type=qdrant.QuantizationType.Int8, quantile=0.99, always_ram=True)
            chosen["quantization_config"] = qdrant.QuantizationConfig(scalar=scalar)
        return chosen


class ServerCollections:
    """The collections of one encoder under one name."""

    def __init__(
        self,
        channel: QdrantChannel,
        name: str,
        encoder: EncoderSpec,
        recipe: str,
        layout: CollectionLayout = CollectionLayout(),
    ) -> None:
        """Manage the collections called `name` for `encoder`, words made by `recipe`, laid out by `layout`."""
        self._layout = layout
        self._recipe = recipe
        self._words_since = -math.inf
        self._words_held = False
        self.alias = f"{name}-{encoder.revision}"
        self._channel = channel
        self._encoder = encoder

    def prepare(self) -> None:
        """Make sure that the alias leads to a collection that fits the encoder.

        Raises:
            ConfigError: What is there does not fit.
            UnavailableError: The server does not answer.
        """
        collection = self.current()
        if collection is None:
            # Two processes that start together make the same collection, and the alias twice the same.
            collection = f"{self.alias}-1"
            self.create(collection)
            self.switch(collection)
        self._check(collection)

    def outdated(self) -> bool:
        """Say whether the words of the collection behind the alias are missing, or were made by another recipe."""
        config = self._config(self.current() or "")
        held = config.metadata[_RECIPE_KEY].string_value if _RECIPE_KEY in config.metadata else ""
        return held != self._recipe

    def holds_words(self) -> bool:
        """Say whether points behind the alias can have words; those of an earlier version cannot, until a rebuild."""
        if not self._words_held and time.monotonic() - self._words_since > _RECHECK_S:
            config = self._config(self.current() or "")
            self._words_held = WORDS_VECTOR in config.params.sparse_vectors_config.map
            self._words_since = time.monotonic()
        return self._words_held

    def current(self) -> str | None:
        """Return the collection behind the alias."""
        request = qdrant.ListAliasesRequest()
        aliases = self._channel.call(self._channel.collections.ListAliases, request, TIMEOUT_S).aliases
        return next((alias.collection_name for alias in aliases if alias.alias_name == self.alias), None)

    def fresh(self) -> str:
        """Return a name that no other process gives to a collection."""
        return f"{self.alias}-{uuid.uuid4().hex[:_MARK_DIGITS]}"

    def leftovers(self) -> list[str]:
        """Return the collections that nothing leads to: of rebuilds that died, and of those that go on just now.

        None where the alias leads nowhere, as a process may be about to let it.
        """
        held = self._own()
        # After the list: what the alias leads to by now is either in use, or newer than the list.
        current = self.current()
        return [name for name in held if name != current] if current is not None else []

    def create(self, collection: str) -> None:
        """Create a collection with its payload indexes, which have to be there before the points.

        What is there already is left as it is, so a process that starts beside another, or after one that died
        halfway, ends with the same collection.
        """
        if not self._exists(collection):
            self._create_or_find(collection)
        for field in FILTER_FIELDS:
            index = qdrant.CreateFieldIndexCollection(
                collection_name=collection, wait=True, field_name=field.name, field_type=_TYPES[field.type]
            )
            self._channel.call(self._channel.points.CreateFieldIndex, index, TIMEOUT_S)

    def _create_or_find(self, collection: str) -> None:
        params = {
            name: qdrant.VectorParams(
                size=self._encoder.embedding_dim,
                distance=qdrant.Distance.Dot,
                multivector_config=_BEST_OF_SEVERAL if name == MORE_IMAGES_VECTOR else None,
                on_disk=True if self._layout.quantised else None,
            )
            for name in ENGINE_VECTOR_NAMES
        }
        request = qdrant.CreateCollection(
            collection_name=collection,
            vectors_config=qdrant.VectorsConfig(params_map=qdrant.VectorParamsMap(map=params)),
            sparse_vectors_config=qdrant.SparseVectorConfig(
                map={WORDS_VECTOR: qdrant.SparseVectorParams(modifier=qdrant.Modifier.Idf)}
            ),
            **self._layout.fields(),
            strict_mode_config=qdrant.StrictModeConfig(enabled=True, unindexed_filtering_retrieve=False),
            metadata={
                _ENCODER_KEY: qdrant.Value(string_value=self._encoder.identity),
                _RECIPE_KEY: qdrant.Value(string_value=self._recipe),
            },
        )
        try:
            self._channel.call(self._channel.collections.Create, request, TIMEOUT_S)
        except ProductMatchError:
            # Servers differ in the code with which they refuse a second creation: what counts is that it is there.
            if not self._exists(collection):
                raise
            logger.info("collection %s was made by another process", collection)

    def switch(self, collection: str) -> None:
        """Let the alias lead to `collection`, in one step.

        Raises:
            CancelledError: There is no such collection.
        """
        if not self._exists(collection):
            # The step below takes the alias away before it refuses, and nothing would be found any more.
            raise CancelledError(f"the collection {collection} was removed by another process; start again")
        actions = []
        if self.current() is not None:
            delete = qdrant.DeleteAlias(alias_name=self.alias)
            actions.append(qdrant.AliasOperations(delete_alias=delete))
        create = qdrant.CreateAlias(collection_name=collection, alias_name=self.alias)
        actions.append(qdrant.AliasOperations(create_alias=create))
        request = qdrant.ChangeAliases(actions=actions)
        self._channel.call(self._channel.collections.UpdateAliases, request, TIMEOUT_S)

    def remove(self, collection: str) -> None:
        """Delete a collection."""
        request = qdrant.DeleteCollection(collection_name=collection)
        self._channel.call(self._channel.collections.Delete, request, TIMEOUT_S)

    def _check(self, collection: str) -> None:
        config = self._config(collection)
        params = config.params.vectors_config.params_map.map
        held = {name: (v.size, v.distance, v.HasField("multivector_config")) for name, v in params.items()}
        size = self._encoder.embedding_dim
        wanted = {name: (size, qdrant.Distance.Dot, name == MORE_IMAGES_VECTOR) for name in ENGINE_VECTOR_NAMES}
        if held != wanted:
            shown = ", ".join(f"{name} {size}" for name, (size, *_) in sorted(held.items())) or "none"
            raise ConfigError(
                f"collection {collection} of the Qdrant server does not fit encoder {self._encoder.identity}: "
                f"expected the vectors image and text of {size} numbers and the multivector images, with distance "
                f"Dot, it has: {shown}; delete the collection and run `product-match verify --repair` once the "
                "server is up, which fills a new one from the documents, or use another name "
                "(PRODUCT_MATCH_COLLECTION)"
            )
        identity = config.metadata[_ENCODER_KEY].string_value if _ENCODER_KEY in config.metadata else ""
        if identity not in ("", self._encoder.identity):
            raise ConfigError(
                f"collection {collection} of the Qdrant server holds vectors of encoder {identity}, and this server "
                f"runs {self._encoder.identity}; use another name (PRODUCT_MATCH_COLLECTION)"
            )

    def _config(self, collection: str) -> Any:
        request = qdrant.GetCollectionInfoRequest(collection_name=collection)
        return self._channel.call(self._channel.collections.Get, request, TIMEOUT_S).result.config

    def _exists(self, collection: str) -> bool:
        request = qdrant.CollectionExistsRequest(collection_name=collection)
        return bool(self._channel.call(self._channel.collections.CollectionExists, request, TIMEOUT_S).result.exists)

    def _own(self) -> list[str]:
        request = qdrant.ListCollectionsRequest()
        listed = self._channel.call(self._channel.collections.List, request, TIMEOUT_S).collections
        # Numbers are marks of an earlier version, and of the first collection of all.
        own = re.compile(re.escape(self.alias) + rf"-(\d+|[0-9a-f]{{{_MARK_DIGITS}}})")
        return sorted(held.name for held in listed if own.fullmatch(held.name))
