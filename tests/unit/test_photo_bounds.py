"""What asks for too much is refused within 100 ms, and the memory of every process stays under 600 MB."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes import bombs

PROJECT = Path(__file__).parents[2]
MOST_MEMORY_MB = 600
MOST_MS = 100

PROGRAM = """
import json, sys, time
from pathlib import Path
from product_match.contract.errors import ProductMatchError
from product_match.preprocessing.images import ImagePreprocessor
from tests.fakes.encoders import encoder_spec

def peak_mb(process):
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM"))

preprocessor = ImagePreprocessor(encoder_spec())
for path in map(Path, sys.argv[1:]):
    data = path.read_bytes()
    times = []
    for _ in range(1 if path.stem.startswith("decoded") else 3):
        begun = time.thread_time()
        (found,) = preprocessor.preprocess([data])
        times.append(1000 * (time.thread_time() - begun))
    processes = [decoder._process for decoder in preprocessor._large._idle if decoder._process]
    print(json.dumps({
        "name": path.stem,
        "refused": str(found) if isinstance(found, ProductMatchError) else "",
        "mean": None if isinstance(found, ProductMatchError) else found.reshape(-1, 3).mean(0).tolist(),
        "ms": min(times),
        "peak_mb": peak_mb("self"),
        "peak_of_decoders_mb": max([peak_mb(process.pid) for process in processes], default=0),
    }), flush=True)
preprocessor.close()
"""


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """What a process of its own, which made none of the files, says of each."""
    place = tmp_path_factory.mktemp("bombs")
    makers = {f"refused {n}": made for n, (made, _) in enumerate(bombs.REFUSED.values())}
    makers |= {f"answered {n}": made for n, made in enumerate(bombs.ANSWERED.values())}
    makers |= {f"decoded {n}": made for n, made in enumerate(bombs.DECODED.values())}
    paths = []
    for name, made in makers.items():
        paths.append(place / f"{name}.bin")
        paths[-1].write_bytes(made())
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, paths)], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    return {figure["name"]: figure for figure in map(json.loads, found.stdout.splitlines())}


@pytest.mark.parametrize("name", bombs.REFUSED)
def test_too_much_is_refused_at_once(figures, name):
    figure = figures[f"refused {list(bombs.REFUSED).index(name)}"]
    assert bombs.REFUSED[name][1] in figure["refused"]
    assert figure["ms"] <= MOST_MS


@pytest.mark.parametrize("name", bombs.ANSWERED)
def test_what_no_pixel_needs_is_left_alone(figures, name):
    figure = figures[f"answered {list(bombs.ANSWERED).index(name)}"]
    assert figure["refused"] == ""
    assert figure["peak_mb"] < 250


@pytest.mark.parametrize("name", bombs.DECODED)
def test_the_largest_photos_are_answered(figures, name):
    assert figures[f"decoded {list(bombs.DECODED).index(name)}"]["mean"][0] > 200


def test_memory_stays_bounded_whatever_comes(figures):
    assert max(figure["peak_mb"] for figure in figures.values()) < 250
    assert 0 < max(figure["peak_of_decoders_mb"] for figure in figures.values()) < MOST_MEMORY_MB
