"""The package's log records reach Triton's log, each once, at its level."""

from __future__ import annotations

import logging

import pytest

from product_match.triton.logs import TritonHandler, forward_logs
from tests.fakes import pb_utils


@pytest.fixture
def records(monkeypatch):
    monkeypatch.setattr(pb_utils.Logger, "records", [])
    root = logging.getLogger("product_match")
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    return pb_utils.Logger.records


def test_each_record_is_forwarded_once_at_its_level(records):
    forward_logs(pb_utils)
    forward_logs(pb_utils)
    logger = logging.getLogger("product_match.somewhere")
    logger.info("loaded %s", "tiny")
    logger.warning("slow")
    logger.error("broken")
    assert records == [("info", "loaded tiny"), ("warn", "slow"), ("error", "broken")]


def test_a_failing_logger_does_not_fail_the_caller(capsys, monkeypatch):
    class Broken:
        def log_info(self, text):
            raise RuntimeError("no log")

    monkeypatch.setattr(logging, "raiseExceptions", False)
    TritonHandler(Broken()).emit(logging.makeLogRecord({"levelno": logging.INFO, "msg": "x"}))
