"""A load that is ended by Ctrl-C says what it did."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from product_match_client.cli.bulk import BulkLoad, BulkSettings
from product_match_client.cli.output import Console
from product_match_client.loading.sources.records import Record


@pytest.mark.parametrize("rejects", [True, False])
def test_an_interrupted_load_says_what_was_done_and_where_the_rejects_are(tmp_path, monkeypatch, rejects):
    async def interrupted(self, records, listener):
        record = Record(source="s", line=1, directory=Path(), fields={"id": "1"})
        listener.settled(record, "created", "")
        if rejects:
            listener.settled(record, "rejected", "x")
        raise KeyboardInterrupt

    monkeypatch.setattr(BulkLoad, "_load", interrupted)
    stderr = io.StringIO()
    settings = BulkSettings(rejects=tmp_path / "rejects.jsonl")
    load = BulkLoad("http://localhost:1", settings, Console(io.StringIO(), stderr))
    with pytest.raises(KeyboardInterrupt):
        load.run(iter([]))
    told = " ".join(stderr.getvalue().split())
    assert f"stopped after {1 + rejects} records: 1 created, 0 updated, 0 unchanged, {int(rejects)} rejected;" in told
    assert "; the same command goes on from there" in told
    assert (f"what was rejected so far is in {tmp_path / 'rejects.jsonl.partial'};" in told) is rejects
    assert (tmp_path / "rejects.jsonl.partial").exists() is rejects
