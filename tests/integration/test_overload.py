"""More requests than the server takes: what is too much is refused at once, and the rest is answered."""

from __future__ import annotations

import asyncio
import io
import json
import time
import urllib.request

import numpy as np
import pytest
from PIL import Image
from tritonclient.grpc import InferInput, aio
from tritonclient.utils import InferenceServerException

from product_match.contract.encoder import load_encoder
from product_match.contract.limits import MAX_WAITING_REQUESTS
from tests.fakes.live_server import PROJECT

pytestmark = pytest.mark.triton
REQUESTS = MAX_WAITING_REQUESTS + 400
ANSWERED = "answered"


def photo(seed):
    """A photo that no cache knows."""
    pixels = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


async def ask(client, data):
    array = np.empty((1, 1), np.object_)
    array[0, 0] = data
    tensor = InferInput("image_bytes", [1, 1], "BYTES")
    tensor.set_data_from_numpy(array)
    try:
        await client.infer("product_match_image", [tensor])
        return ANSWERED
    except InferenceServerException as error:
        return str(error)


def test_what_is_too_much_is_refused_and_the_rest_is_answered(server):
    photos = [photo(seed) for seed in range(REQUESTS)]

    async def ask_all():
        async with aio.InferenceServerClient(server.grpc) as client:
            return await asyncio.gather(*(ask(client, data) for data in photos)), await ask(client, photos[0])

    outcomes, after = asyncio.run(ask_all())
    refused = [outcome for outcome in outcomes if outcome != ANSWERED]
    assert all("UNAVAILABLE" in words and "the server is busy:" in words for words in refused), set(refused)
    assert 0 < len(refused) < REQUESTS
    assert after == ANSWERED


@pytest.mark.parametrize("wire", ["grpc", "http"])
@pytest.mark.parametrize("model", ["product_match_text", "catalogue"])
def test_a_request_whose_client_has_gone_is_not_begun(server, wire, model):
    column = {"command": [b'{"operation": "count"}']} if model == "catalogue" else {"query_text": [b"red shoes"]}
    with pytest.raises(
        InferenceServerException, match="s ago by the server's clock, so the request was not begun"
    ) as raised:
        server.infer(model, column, wire, deadline=time.time() - 1)
    assert raised.value.status() in ("StatusCode.UNAVAILABLE", "503")
    assert server.infer(model, column, wire, deadline=time.time() + 60)


def test_a_late_request_leaves_nothing_in_the_cache_of_the_encoders(server):
    """Triton keeps an error of a model that it caches, as an answer without tensors."""
    encoder = load_encoder(PROJECT / "default_encoder" / "embedded")
    inputs = [
        {"name": "input_ids", "datatype": "INT32", "shape": [1, encoder.text_buckets[0]]},
        {"name": "eot_index", "datatype": "INT32", "shape": [1, 1], "data": [2]},
    ]
    inputs[0]["data"] = [*range(3, 3 + encoder.text_buckets[0])]
    for late_s in (1, -60):
        body = {"inputs": inputs, "parameters": {"deadline": time.time() - late_s}}
        asked = urllib.request.Request(
            f"http://{server.http}/v2/models/text_encoder/infer", data=json.dumps(body).encode()
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            (output,) = json.loads(answer.read())["outputs"]
        assert len(output["data"]) == encoder.embedding_dim
