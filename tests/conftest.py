"""Fixtures that several kinds of tests share."""

from __future__ import annotations

import os
import signal
import tempfile
import uuid
from pathlib import Path

import pytest

from product_match.settings import Secret, ServingSettings
from tests.fakes.document_server import DocumentServer
from tests.fakes.encoders import encoder_spec
from tests.fakes.real_stores import real_documents


@pytest.fixture(scope="session", autouse=True)
def interrupts():
    """Ctrl-C means the same where the tests run in the background, whose shell has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def document_server(tmp_path_factory):
    """One document store for all tests, each with its own collection; tests that kill a store start their own."""
    real = real_documents()
    if real is not None:
        yield real
        return
    with DocumentServer(tmp_path_factory.mktemp("document_store")) as server:
        yield server


@pytest.fixture
def memory_path(tmp_path):
    """A directory in memory where there is some: making a shard takes a second of fsync on a slow disk."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="product-match-test-") as directory:
        yield Path(directory)


@pytest.fixture
def catalogue_settings(document_server, memory_path):
    """Settings of an embedded catalogue that nothing else uses."""
    directory = memory_path / "encoder"
    directory.mkdir()
    (directory / "encoder.json").write_text(encoder_spec().to_json(), encoding="utf-8")
    return ServingSettings(
        encoder_directory=directory,
        mongodb_uri=Secret(document_server.uri),
        collection=f"products_{uuid.uuid4().hex[:12]}",
        index_directory=memory_path / "index",
        owner_socket=memory_path / "owner.sock",
        # A busy machine is no failure; tests of the limit set their own.
        store_timeout_s=5.0,
    )
