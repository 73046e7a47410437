"""The server's catalogue once more: an index of one's own, as only one process can hold the server's."""

from __future__ import annotations

from pathlib import Path

from product_match.contract.encoder import load_encoder
from product_match.documents.connection import connect
from product_match.documents.store import DocumentStore
from product_match.index.points import PointMaker
from product_match.settings import Secret, ServingSettings
from product_match.vectors.edge_index import EdgeIndex
from product_match.words.encoding import WordsRecipe

DATABASE = "product_match"


def open_documents(encoder_directory: Path, mongodb_uri: str, scratch: Path) -> DocumentStore:
    """Open the server's document store."""
    settings = ServingSettings(
        encoder_directory=encoder_directory,
        mongodb_uri=Secret(mongodb_uri),
        mongodb_database=DATABASE,
        index_directory=scratch,
        owner_socket=scratch / "socket",
        store_timeout_s=10.0,
    )
    return DocumentStore(connect(settings), settings, load_encoder(encoder_directory).identity)


def copy_index(documents: DocumentStore, directory: Path, dimension: int) -> EdgeIndex:
    """Return a new index in `directory` that holds every product of the document store."""
    index = EdgeIndex(directory, dimension)
    points = PointMaker(WordsRecipe())
    for page in documents.walk({"deleted": None}):
        index.upsert([points.point(document) for document in page])
    return index
