"""One kill of each kind in the middle of a real load: nothing is lost, duplicated, left pending or wrong.

`python -m benchmarks.faults` does the same many times, on a seeded schedule; see docs/faults.md.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from benchmarks.faults.schedule import FaultKind, schedule
from benchmarks.faults.trial import Trials

pytestmark = pytest.mark.triton

PRODUCTS = 32
SEED = 5


@pytest.fixture(scope="module")
def trials(tmp_path_factory):
    """One stack for all kinds, and what an uninterrupted load leaves; in memory where there is some, for speed."""
    memory = Path("/dev/shm")
    parent = memory if os.access(memory, os.W_OK) else tmp_path_factory.getbasetemp()
    with tempfile.TemporaryDirectory(dir=parent, prefix="product-match-test-") as directory:
        trials = Trials(Path(directory), PRODUCTS)
        try:
            trials.measure_baseline()
            yield trials
        finally:
            trials.close()


@pytest.mark.parametrize("kind", list(FaultKind), ids=lambda kind: kind.value)
def test_a_load_that_is_interrupted_ends_like_one_that_is_not(trials, kind):
    (fault,) = schedule([kind], runs=1, products=PRODUCTS, seed=SEED)
    trial = trials.run(fault)
    assert trial.failure == ""
    assert trial.differences.examples == []
    assert trial.clean
    assert trial.client_exits[-1] == 0
