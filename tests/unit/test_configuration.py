"""Configurations come from the contract, through Triton's protobuf, and the committed ones do not drift."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

from product_match.contract.encoder import load_encoder
from product_match.contract.errors import ConfigError
from product_match.contract.models import composing_model, composing_models, ensembles
from product_match.repository.assembly import assemble_repository, configurations, drifted, write_configurations
from product_match.repository.configuration import (
    HEADER,
    engine_configuration,
)
from tests.fakes.encoders import encoder_spec

PROJECT = Path(__file__).parents[2]
REPOSITORY = PROJECT / "model_repository"


def parsed(text):
    return json_format.MessageToDict(
        text_format.Parse(text, model_config_pb2.ModelConfig()), preserving_proto_field_name=True
    )


def test_the_committed_configurations_are_those_of_the_demo_encoder():
    assert drifted(REPOSITORY, load_encoder(PROJECT / "default_encoder" / "embedded")) == []


@pytest.mark.parametrize("model", composing_models(encoder_spec()), ids=lambda model: model.name)
def test_every_composing_model_batches_on_the_cpu(model):
    text = configurations(encoder_spec())[model.name]
    assert text.startswith(HEADER)
    config = parsed(text)
    # A queue policy turns off that a batch is made while the one before runs; see product_match/triton/admission.py.
    assert config["dynamic_batching"] == {}
    assert config["instance_group"] == [{"count": 1, "kind": "KIND_CPU"}]
    assert config["max_batch_size"] == 64
    assert config.get("response_cache", {}).get("enable", False) == model.name.endswith("_encoder")


def test_words_of_different_lengths_may_share_a_batch_where_the_encoder_is_a_python_model():
    texts = configurations(encoder_spec())
    ragged = {
        name: [tensor["name"] for tensor in parsed(text)["input"] if tensor.get("allow_ragged_batch")]
        for name, text in texts.items()
    }
    assert {name: tensors for name, tensors in ragged.items() if tensors} == {"text_encoder": ["input_ids"]}


@pytest.mark.parametrize("ensemble", ensembles(encoder_spec()), ids=lambda ensemble: ensemble.name)
def test_the_maps_of_an_ensemble_join_tensors_by_name(ensemble):
    config = parsed(configurations(encoder_spec())[ensemble.name])
    assert config["platform"] == "ensemble"
    produced = {tensor["name"] for tensor in config["input"]}
    for step in config["ensemble_scheduling"]["step"]:
        assert all(key == value for key, value in step["input_map"].items())
        assert set(step["input_map"]) <= produced
        produced |= set(step["output_map"])
    assert {tensor["name"] for tensor in config["output"]} <= produced


def test_drift_is_seen_where_a_file_differs_lacks_or_is_unknown(tmp_path):
    write_configurations(tmp_path, encoder_spec())
    assert drifted(tmp_path, encoder_spec()) == []
    (tmp_path / "retrieval" / "config.pbtxt").write_text("changed")
    (tmp_path / "product_match" / "config.pbtxt").unlink()
    (tmp_path / "stray").mkdir()
    (tmp_path / "stray" / "config.pbtxt").write_text("")
    assert drifted(tmp_path, encoder_spec()) == ["product_match", "retrieval", "stray"]


def test_an_assembled_repository_holds_adapters_and_replaces_what_was_there(tmp_path):
    target = tmp_path / "models"
    (target / "leftover").mkdir(parents=True)
    assemble_repository(REPOSITORY, encoder_spec(), target)
    assert not (target / "leftover").exists()
    assert (target / "retrieval" / "1" / "model.py").read_text() == (REPOSITORY / "retrieval/1/model.py").read_text()
    assert (target / "product_match" / "1").is_dir()


def test_a_missing_adapter_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"model\.py is missing; the model repository is incomplete"):
        assemble_repository(tmp_path, encoder_spec(), tmp_path / "models")


def test_an_engine_captures_graphs_for_each_batch_size_and_bucket():
    text = composing_model(encoder_spec(), "text_encoder")
    config = parsed(engine_configuration(text, encoder_spec(), "text_encoder.plan"))
    assert config["platform"] == "tensorrt_plan"
    assert config["default_model_filename"] == "text_encoder.plan"
    assert config["dynamic_batching"] == {}
    assert config["instance_group"] == [{"count": 1, "kind": "KIND_GPU"}]
    specs = config["optimization"]["cuda"]["graph_spec"]
    shapes = {(spec["batch_size"], int(spec["input"]["input_ids"]["dim"][0])) for spec in specs}
    assert shapes == {(size, length) for size in (1, 2, 4, 8, 16, 32, 64) for length in (8, 16)}
    assert "response_cache" not in config
    # Together the graphs of a bucket serve every size once.
    served = [
        size
        for spec in specs
        if int(spec["input"]["input_ids"]["dim"][0]) == 16
        for size in range(spec.get("graph_lower_bound", spec)["batch_size"], spec["batch_size"] + 1)
    ]
    assert served == list(range(1, 65))
    bounds = [spec["graph_lower_bound"]["input"] == spec["input"] for spec in specs if "graph_lower_bound" in spec]
    assert bounds == [True] * 10
    assert [warm_up["batch_size"] for warm_up in config["model_warmup"]] == [1, 2, 4, 8, 16, 32, 64]


def test_the_greatest_batch_has_a_graph_whatever_its_size():
    image = dataclasses.replace(composing_model(encoder_spec(), "image_encoder"), max_batch_size=48)
    config = parsed(engine_configuration(image, encoder_spec(), "image_encoder.plan"))
    assert [graph["batch_size"] for graph in config["optimization"]["cuda"]["graph_spec"]] == [1, 2, 4, 8, 16, 32, 48]


def test_the_image_engine_keeps_its_pixels_declaration():
    image = composing_model(encoder_spec(), "image_encoder")
    config = parsed(engine_configuration(image, encoder_spec(), "image_encoder.plan"))
    assert config["input"] == [{"name": "pixel_values", "data_type": "TYPE_UINT8", "dims": ["32", "32", "3"]}]
    assert len(config["optimization"]["cuda"]["graph_spec"]) == 7
