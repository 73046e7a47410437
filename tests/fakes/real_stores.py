"""The stores that tests which speak to a server run against: real ones where the environment names them.

`make test-production` names both and fails where one is missing. What uses this knows nothing of the stand-ins.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from product_match.vectors.server_channel import QdrantChannel
from tests.fakes.qdrant_server import FakeQdrant

QDRANT_VARIABLE = "PRODUCT_MATCH_TEST_QDRANT_URL"
QDRANT_KEY_VARIABLE = "PRODUCT_MATCH_TEST_QDRANT_API_KEY"
MONGODB_VARIABLE = "PRODUCT_MATCH_TEST_MONGODB_URI"


@dataclass(frozen=True)
class Qdrant:
    """A server, and a name that no other test gives to a collection."""

    address: str
    api_key: str
    collection: str

    def collections(self) -> list[str]:
        """The collections of that name."""
        from qdrant_client import grpc as qdrant

        with self.channel() as channel:
            request = qdrant.ListCollectionsRequest()
            listed = channel.call(channel.collections.List, request, 10.0).collections
        return sorted(held.name for held in listed if held.name.startswith(self.collection))

    @contextlib.contextmanager
    def channel(self) -> Iterator[QdrantChannel]:
        channel = QdrantChannel(self.address, self.api_key)
        try:
            yield channel
        finally:
            channel.close()


@contextlib.contextmanager
def qdrant_server() -> Iterator[Qdrant]:
    """Yield the real server that the environment names, else the stand-in; nothing is left in it."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    address = os.environ.get(QDRANT_VARIABLE, "")
    if not address:
        with FakeQdrant() as stand_in:
            yield Qdrant(stand_in.address, "", name)
        return
    real = Qdrant(address, os.environ.get(QDRANT_KEY_VARIABLE, ""), name)
    try:
        yield real
    finally:
        from qdrant_client import grpc as qdrant

        with real.channel() as channel:
            for left in real.collections():
                request = qdrant.DeleteCollection(collection_name=left)
                channel.call(channel.collections.Delete, request, 10.0)


@dataclass(frozen=True)
class RealDocuments:
    """A document store that runs elsewhere, as tests see one that they started."""

    uri: str


def real_documents() -> RealDocuments | None:
    """Return the real document store that the environment names."""
    uri = os.environ.get(MONGODB_VARIABLE, "")
    return RealDocuments(uri) if uri else None
