"""The process that derives a shard is patient with a busy document store."""

from __future__ import annotations

from product_match.catalogue import derivation
from product_match.contract.errors import UnavailableError


def test_a_busy_document_store_is_waited_for_longer_than_a_request_would(
    catalogue_settings, memory_path, monkeypatch, capsys
):
    limits = []

    def refuse(settings, encoder):
        limits.append(settings.store_timeout_s)
        raise UnavailableError("the store is away")

    for name, value in catalogue_settings.to_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(derivation, "open_documents", refuse)
    monkeypatch.setattr(derivation.os, "nice", lambda increment: 0)
    assert derivation.main([str(memory_path / "shard")]) == 1
    assert limits == [derivation.STORE_TIMEOUT_S]
    assert limits[0] > catalogue_settings.store_timeout_s
    assert capsys.readouterr().err == "the store is away\n"
