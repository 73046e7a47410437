"""Photos that ask for much, on a live server: refused at once, in flat memory, and good requests go on meanwhile."""

from __future__ import annotations

import base64
import concurrent.futures
import json
import threading
import time
from pathlib import Path

import numpy as np
import pi_heif
import pytest
from PIL import Image
from tritonclient.utils import InferenceServerException

from tests.fakes import bombs, photos
from tests.integration.test_bad_input import PHOTO, case, good_photo
from tests.integration.test_requests import post

pytestmark = pytest.mark.triton

MOST_GROWTH_MB = 80
MOST_MEMORY_MB = 600
BOMBS = ["jpeg, 300 scans", "jpeg, 500 scans of 49 megapixels", "png, size", "gif, size", "tiff, tile", "avif, size"]


def processes(server, part):
    """The processes below the server whose command line has `part` in it."""
    below, found = {server.process.pid}, []
    for place in sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()):
        try:
            parent = int(Path(f"/proc/{place}/stat").read_text().rpartition(")")[2].split()[1])
            command = Path(f"/proc/{place}/cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent in below:
            below.add(place)
            if part in command:
                found.append(place)
    return found


def peak_mb(process):
    status = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def refusal(server, data):
    with pytest.raises(InferenceServerException) as caught:
        server.infer("product_match_image", {"image_bytes": [data]})
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    return caught.value.message()


def test_one_bad_photo_of_many_harms_none(server):
    """A 69-byte PNG made HTTP 500 of 46 requests of 48."""
    bad = case("palette-without-plte.png")
    with concurrent.futures.ThreadPoolExecutor(48) as pool:
        good = [pool.submit(good_photo, server) for _ in range(46)]
        refused = [pool.submit(refusal, server, bad) for _ in range(2)]
        for answer in good:
            answer.result()
        for answer in refused:
            assert "the PNG data is damaged or cut short (no palette)" in answer.result()


def test_a_bad_row_is_named_in_a_request_of_several(server):
    with pytest.raises(InferenceServerException) as caught:
        server.infer("product_match_image", {"image_bytes": [PHOTO, PHOTO, case("rows-24-of-60.png")]})
    assert "row 2: image: the PNG data is damaged or cut short (rows are missing)" in caught.value.message()


def test_photos_that_ask_for_much_are_refused_in_flat_memory(server):
    (model,) = processes(server, "image_preprocess")
    good_photo(server)
    before = peak_mb(model)
    made = {name: bombs.REFUSED[name] for name in BOMBS}
    files = [(make(), words) for make, words in made.values()]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = [(pool.submit(refusal, server, data), words) for data, words in files for _ in range(5)]
        good = [pool.submit(good_photo, server) for _ in range(20)]
        for answer, words in answers:
            assert words in answer.result()
        for answer in good:
            answer.result()
    assert processes(server, "image_preprocess") == [model]
    assert peak_mb(model) - before < MOST_GROWTH_MB


def latencies(server, until):
    found = []
    while not until.is_set():
        begun = time.perf_counter()
        good_photo(server)
        found.append(time.perf_counter() - begun)
    return found


def test_large_photos_hold_up_nobody(server):
    large = photos.encoded(photos.gradient(6000, 4000), "JPEG", quality=80, progressive=True)
    done = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        good = pool.submit(latencies, server, done)
        begun = time.perf_counter()
        for _ in range(2):
            (row,) = server.infer("product_match_image", {"image_bytes": [large]}, top_k=1)
            assert row["matches"]
        took = (time.perf_counter() - begun) / 2
        done.set()
        found = sorted(good.result())
    # Many are answered while one large photo is decoded: none of them waits for its end.
    assert len(found) > 10
    assert found[len(found) // 2] < took / 4
    (model,) = processes(server, "image_preprocess")
    assert peak_mb(model) < MOST_MEMORY_MB
    for decoder in processes(server, "decoder_process"):
        assert peak_mb(decoder) < MOST_MEMORY_MB


def embedded(server, photo):
    """The photo's vector, from the ensemble that answers with it alone."""
    url = "data:;base64," + base64.b64encode(photo).decode()
    answer = post(server, "embed_image", json.dumps({"image_bytes": url}).encode(), "generate")
    return np.array(json.loads(answer)["image_embeds"])


def test_an_avif_and_a_heic_find_the_same_as_a_png(server):
    heic = pi_heif.read_heif(case("plain.heic"))
    picture = Image.frombytes(heic.mode, heic.size, bytes(heic.data), "raw", heic.mode, heic.stride)
    expected = embedded(server, photos.encoded(picture, "PNG"))
    assert embedded(server, case("plain.heic")) @ expected > 0.9999
    assert server.infer("product_match_image", {"image_bytes": [case("plain.avif")]}, top_k=1)[0]["matches"]
