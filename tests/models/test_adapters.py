"""Every adapter is loaded under a name of its own, with small real classes in place of Triton's, and answers."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from product_match.contract import models
from product_match.contract.encoder import load_encoder
from product_match.contract.errors import ConfigError
from product_match.contract.products import product_words
from product_match.encoding.processors import processor_name
from product_match.encoding.session import EncoderSession
from product_match.feedback.keys import make_key
from product_match.settings import PREFIX
from tests.fakes import pb_utils
from tests.fakes.document_server import DocumentServer
from tests.fakes.pb_utils import InferenceRequest
from tests.fakes.small_encoders import small_encoder

PROJECT = Path(__file__).parents[2]
DEMO = PROJECT / "default_encoder" / "embedded"
REPOSITORY = PROJECT / "model_repository"
SAMPLE = PROJECT / "sample_data"


def adapter_class(name):
    spec = importlib.util.spec_from_file_location(f"adapter_{name}", REPOSITORY / name / "1" / "model.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["triton_python_backend_utils"] = pb_utils
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules["triton_python_backend_utils"]
    return module.TritonPythonModel


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    place = tmp_path_factory.mktemp("adapters")
    with DocumentServer(place / "documents") as documents, pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "ENCODER_DIRECTORY": str(DEMO),
            "MONGODB_URI": documents.uri,
            "INDEX_DIRECTORY": str(place / "index"),
            "OWNER_SOCKET": str(place / "owner.sock"),
            "FEEDBACK_KEYS": json.dumps(make_key("HS256", "a")),
        }.items():
            patch.setenv(PREFIX + name, value)
        yield


@pytest.fixture(scope="module")
def pipeline(environment):
    """All composing models, loaded in the order of an ensemble."""
    loaded = {}
    for model in models.composing_models(load_encoder(DEMO)):
        loaded[model.name] = adapter_class(model.name)()
        loaded[model.name].initialize({})
    yield loaded
    for model in reversed(loaded.values()):
        if hasattr(model, "finalize"):
            model.finalize()


def column(*rows):
    array = np.empty((len(rows), 1), object)
    array[:, 0] = rows
    return array


def run(pipeline, steps, tensors, **parameters):
    """Run one request through composing models, as an ensemble does."""
    encoder = load_encoder(DEMO)
    for name in steps:
        spec = models.composing_model(encoder, name)
        inputs = {tensor.name: tensors[tensor.name] for tensor in spec.inputs if tensor.name in tensors}
        (response,) = pipeline[name].execute([InferenceRequest(inputs, parameters)])
        if response.has_error():
            return response.error()
        tensors = tensors | {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}
    return tensors


def steps_of(ensemble):
    return next(spec.steps for spec in models.ensembles(load_encoder(DEMO)) if spec.name == ensemble)


def test_a_product_goes_in_and_is_found_by_photo_and_by_words(pipeline):
    product = json.loads((SAMPLE / "products.jsonl").read_text(encoding="utf-8").splitlines()[0])
    photo = (SAMPLE / product["image"]).read_bytes()
    tensors = {
        "product": column(json.dumps(product).encode()),
        "image_bytes": column(photo),
        "query_text": column(product_words(product).encode()),
    }
    indexed = run(pipeline, steps_of("product_index"), tensors, wait=True)
    assert json.loads(indexed["receipt"][0, 0])["status"] == "created"
    for ensemble in ("product_match", "product_match_image", "product_match_text"):
        answer = run(pipeline, steps_of(ensemble), tensors, top_k=1)
        (match,) = json.loads(answer["matches"][0, 0])["matches"]
        assert match["product"] == product
        said = {
            "feedback_token": column(json.loads(answer["matches"][0, 0])["feedback_token"].encode()),
            "product_id": column(match["product_id"].encode()),
            "feedback": column(b"purchase"),
        }
        receipt = run(pipeline, ["feedback"], said)["receipt"]
        assert json.loads(receipt[0, 0]) == {"status": "recorded", "message": "recorded"}


def test_a_command_is_performed(pipeline):
    answer = run(pipeline, ["catalogue"], {"command": column(b'{"operation": "count"}')})
    assert json.loads(answer["result"][0, 0])["count"] >= 0


def test_the_status_tells_what_filled_the_catalogue(pipeline):
    product = json.dumps({"id": "filled", "name": "Hat"}).encode()
    tensors = {"product": column(product), "image_bytes": column(b""), "query_text": column(b"Hat")}
    run(pipeline, steps_of("product_index"), tensors)
    answer = run(pipeline, ["catalogue"], {"command": column(b'{"operation": "status"}')})
    status = json.loads(answer["result"][0, 0])
    (filled,) = status["filled_by"]
    assert filled["encoded_on"] == f"fp32 on {processor_name()}"


def test_an_encoder_that_differs_from_fp32_is_not_loaded(tmp_path, environment, monkeypatch):
    small_encoder(tmp_path / "encoder")
    monkeypatch.setenv(PREFIX + "ENCODER_DIRECTORY", str(tmp_path / "encoder"))
    monkeypatch.setenv(PREFIX + "STATE_DIRECTORY", str(tmp_path / "state"))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    spec = models.composing_model(load_encoder(tmp_path / "encoder"), models.IMAGE_ENCODER)
    right = EncoderSession(tmp_path / "encoder" / "image_encoder.onnx", spec, 1).encode({"pixel_values": pixels})
    for embeds, passes in ((right, True), (right[::-1], False)):
        np.savez(tmp_path / "encoder" / "reference.npz", pixel_values=pixels, image_embeds=embeds)
        model = adapter_class("image_encoder")()
        if passes:
            model.initialize({})
            assert len(list((tmp_path / "state").glob("image_encoder_*.json"))) == 1
        else:
            with pytest.raises(ConfigError, match=r"image_encoder of small@.* gives other embeddings on "):
                model.initialize({})


def test_a_bad_photo_is_refused_by_its_model(pipeline):
    error = run(pipeline, ["image_preprocess"], {"image_bytes": column(b"junk")})
    assert error.code() == pb_utils.TritonError.INVALID_ARG


@pytest.mark.parametrize("model", models.composing_models(load_encoder(DEMO)), ids=lambda model: model.name)
def test_a_wrong_setting_stops_the_load(environment, monkeypatch, model, tmp_path):
    monkeypatch.setenv(PREFIX + "ENCODER_DIRECTORY", str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="is not an encoder directory"):
        adapter_class(model.name)().initialize({})


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("*/1/model.py")), ids=lambda path: path.parent.parent.name)
def test_an_adapter_stays_an_adapter(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60
