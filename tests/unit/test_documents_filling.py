"""What a catalogue was filled by: each precision and kind of processor, once."""

from __future__ import annotations

import dataclasses

import pytest

from product_match.documents.filling import note_filling, read_filling
from product_match.documents.store import open_documents
from tests.fakes.encoders import encoder_spec


@pytest.fixture
def documents(catalogue_settings):
    opened = open_documents(catalogue_settings, encoder_spec().identity)
    yield opened
    opened.close()


def test_each_kind_is_noted_once_the_first_first(documents):
    for kind in ("int8 on One (avx2)", "int8 on Two (avx512_vnni)", "int8 on One (avx2)"):
        note_filling(documents, kind)
    found = read_filling(documents)
    assert [entry["encoded_on"] for entry in found] == ["int8 on One (avx2)", "int8 on Two (avx512_vnni)"]
    assert all(entry["since"].startswith("20") for entry in found)


def test_a_catalogue_that_is_dropped_was_filled_by_nobody(documents):
    note_filling(documents, "fp32 on One (avx2)")
    documents.drop()
    assert read_filling(documents) == []


def test_an_empty_catalogue_that_another_encoder_takes_forgets_too(documents, catalogue_settings):
    note_filling(documents, "fp32 on One (avx2)")
    other = open_documents(catalogue_settings, "other@0123456789ab")
    try:
        assert read_filling(other) == []
    finally:
        other.close()


def test_each_generation_has_its_own(documents, catalogue_settings):
    note_filling(documents, "fp32 on One (avx2)")
    changed = dataclasses.replace(catalogue_settings, generation="0123456789ab")
    other = open_documents(changed, "other@0123456789ab")
    try:
        assert read_filling(other) == []
    finally:
        other.close()
