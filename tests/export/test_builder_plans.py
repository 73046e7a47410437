"""Plans of TensorRT and the model repository around them, as far as no GPU is needed."""

from __future__ import annotations

import json
import subprocess
import sys
import types

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from ensemble_builder import engines, plans
from ensemble_builder.plans import PlanName, check_plan, gpu_capability, parse_plan_name, plan_name
from ensemble_builder.repository import assemble_embedded, assemble_production
from product_match.contract.errors import ConfigError, EngineError
from product_match.contract.models import composing_models, ensembles
from product_match.repository.assembly import configurations
from tests.fakes.tensorrt import tensorrt

HERE = {"version": "10.13.2.6", "capability": "89"}


@pytest.fixture(params=["today", "first version"])
def tensorrt_directory(clip_copy, request):
    """The tiny CLIP's directory as if built for TensorRT, by today's builder and by the first version's."""
    report = json.loads((clip_copy / "build.json").read_text())
    options = {**report.pop("options"), "target": "tensorrt", "max_batch_size": 16}
    report.update({"options": options} if request.param == "today" else options)
    (clip_copy / "build.json").write_text(json.dumps(report))
    return clip_copy


@pytest.fixture
def made_plans(clip_encoder, tensorrt_directory):
    """Files with the names that plans would have here."""
    found = {}
    for model in plans.ONNX_FILES:
        name = plan_name(clip_encoder.spec, tensorrt_directory, model, batch=16, **HERE)
        found[model] = tensorrt_directory / name.file
        found[model].write_bytes(b"plan")
    return found


@pytest.fixture
def machine(monkeypatch):
    """A machine with TensorRT 10.13.2.6 and a GPU of compute capability 8.9."""
    module = types.ModuleType("tensorrt")
    module.__version__ = HERE["version"]
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    answer = subprocess.CompletedProcess([], 0, stdout="8.9\n8.9\n", stderr="")
    monkeypatch.setattr(plans.subprocess, "run", lambda *args, **options: answer)
    return module


def test_a_plan_is_named_after_all_that_it_depends_on(clip_encoder):
    name = plan_name(clip_encoder.spec, clip_encoder.directory, "image_encoder", batch=64, **HERE)
    assert name.file.startswith("image_encoder_trt10.13.2.6_sm89_fp32_b64_")
    assert parse_plan_name(name.file) == name


def test_a_file_of_another_name_is_not_a_plan():
    with pytest.raises(EngineError, match=r"model.plan is not the name of a plan of this project"):
        parse_plan_name("model.plan")


def test_a_plan_that_fits_passes(clip_encoder, made_plans, tensorrt_directory):
    check_plan(clip_encoder.spec, tensorrt_directory, made_plans["text_encoder"], **HERE)


def test_a_plan_for_another_tensorrt_and_gpu_is_one_clear_sentence(clip_encoder, made_plans, tensorrt_directory):
    with pytest.raises(EngineError) as raised:
        check_plan(
            clip_encoder.spec, tensorrt_directory, made_plans["image_encoder"], version="11.1.0.1", capability="90"
        )
    words = str(raised.value)
    assert (
        "was built for TensorRT 10.13.2.6, here is 11.1.0.1 and compute capability 89, here is 90; build it" in words
    )
    assert "\n" not in words


def test_a_plan_of_other_weights_is_refused(clip_encoder, made_plans, tensorrt_directory):
    with (tensorrt_directory / "image_encoder.onnx").open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(EngineError, match=r"was built for ONNX file \w{12}, here is \w{12}; build it again"):
        check_plan(clip_encoder.spec, tensorrt_directory, made_plans["image_encoder"], **HERE)


def test_a_plan_that_is_not_there_is_named(clip_encoder, made_plans, tensorrt_directory):
    made_plans["text_encoder"].unlink()
    with pytest.raises(
        EngineError, match=r"text_encoder_trt.*plan is missing; build it with `ensemble-builder engines`"
    ):
        check_plan(clip_encoder.spec, tensorrt_directory, made_plans["text_encoder"], **HERE)


def test_a_machine_without_a_gpu_says_how_to_get_one(monkeypatch):
    def absent(*args, **options):
        raise FileNotFoundError("nvidia-smi")

    monkeypatch.setattr(plans.subprocess, "run", absent)
    with pytest.raises(EngineError, match=r"no GPU was found .*start the container with `--gpus all`"):
        gpu_capability()


def test_the_capability_of_the_first_gpu_counts(machine):
    assert gpu_capability() == "89"


def test_a_machine_without_tensorrt_says_where_it_is():
    with pytest.raises(
        EngineError, match=r"Python module cannot be imported here \(No module named 'tensorrt'; .*build engines"
    ):
        engines.load_tensorrt()


def test_a_tensorrt_before_10_13_is_refused(machine):
    machine.__version__ = "10.9.0.34"
    with pytest.raises(EngineError, match=r"TensorRT 10.9.0.34 is too old, 10.13 or later is needed"):
        engines.load_tensorrt()


def test_the_production_repository_holds_engines_and_adapters(clip_encoder, made_plans, tensorrt_directory):
    repository = assemble_production(clip_encoder.spec, tensorrt_directory, made_plans, 16)
    names = {path.name for path in repository.iterdir()}
    assert names == {spec.name for spec in (*composing_models(clip_encoder.spec), *ensembles(clip_encoder.spec))}
    for model, plan in made_plans.items():
        config = text_format.Parse((repository / model / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
        assert (config.platform, config.default_model_filename, config.max_batch_size) == (
            "tensorrt_plan",
            plan.name,
            16,
        )
        assert [spec.batch_size for spec in config.optimization.cuda.graph_spec][:5] == [1, 2, 4, 8, 16]
        assert len(config.model_warmup) == 5
        assert (repository / model / "1" / plan.name).read_bytes() == b"plan"
        assert not (repository / model / "1" / "model.py").exists()
    assert (repository / "retrieval" / "1" / "model.py").is_file()
    ensemble = text_format.Parse(
        (repository / "product_match" / "config.pbtxt").read_text(), model_config_pb2.ModelConfig()
    )
    assert ensemble.max_batch_size == 16


def test_a_batch_past_what_requests_may_hold_is_for_the_encoders_alone(clip_encoder, made_plans, tensorrt_directory):
    repository = assemble_production(clip_encoder.spec, tensorrt_directory, made_plans, 128)
    sizes = {
        path.parent.name: text_format.Parse(path.read_text(), model_config_pb2.ModelConfig()).max_batch_size
        for path in repository.glob("*/config.pbtxt")
    }
    assert (sizes["image_encoder"], sizes["retrieval"], sizes["product_match"]) == (128, 64, 64)


def test_the_embedded_repository_is_the_contract_s(clip_encoder):
    repository = clip_encoder.directory / "model_repository"
    written = {path.parent.name: path.read_text() for path in repository.glob("*/config.pbtxt")}
    assert written == configurations(clip_encoder.spec)
    assert (repository / "image_encoder" / "1" / "model.py").is_file()


def test_a_missing_adapter_is_named(clip_encoder, clip_copy, tmp_path):
    with pytest.raises(ConfigError, match=r"image_preprocess/1/model.py is missing"):
        assemble_embedded(clip_encoder.spec, clip_copy, tmp_path / "nothing")
    with pytest.raises(
        ConfigError, match=r"image_preprocess/1/model.py is missing; the model repository is incomplete"
    ):
        assemble_production(clip_encoder.spec, clip_copy, {}, 16, tmp_path / "nothing")


def test_engines_in_place_are_checked_at_the_start(clip_encoder, made_plans, tensorrt_directory, machine):
    assemble_production(clip_encoder.spec, tensorrt_directory, made_plans, 16)
    assert engines.check_directory(tensorrt_directory).keys() == made_plans.keys()
    machine.__version__ = "10.14.1.48"
    with pytest.raises(EngineError, match=r"was built for TensorRT 10.13.2.6, here is 10.14.1.48; build it again"):
        engines.check_directory(tensorrt_directory)


def test_engines_that_were_never_built_are_missed_at_the_start(tensorrt_directory, machine):
    with pytest.raises(EngineError, match=r"has no engine of image_encoder in its model repository; build it with"):
        engines.check_directory(tensorrt_directory)


def test_engines_of_an_embedded_directory_are_refused(clip_copy):
    with pytest.raises(EngineError, match=r"was built for embedded; engines are made of a directory"):
        engines.make_engines(clip_copy)


def test_plans_that_are_there_are_not_built_again(made_plans, tensorrt_directory, machine):
    assert engines.make_engines(tensorrt_directory) == made_plans
    assert (tensorrt_directory / "model_repository" / "text_encoder" / "config.pbtxt").is_file()


def test_graphs_are_strongly_typed_in_tensorrt_10_and_11(tmp_path):
    older, newer = tensorrt("10.13.2.6"), tensorrt("11.1.0.1")
    for trt in (older, newer):
        assert engines.build_plan(trt, tmp_path / "image_encoder.onnx", {"x": ((1,), (2,), (3,))}) == b"plan"
    assert (older.flags_given, newer.flags_given) == ([1 << 1], [1 << 0])


def test_the_timing_cache_is_kept_and_one_that_does_not_fit_is_made_anew(tmp_path, caplog):
    trt, cache, source = tensorrt("10.13.2.6"), tmp_path / "timing.cache", tmp_path / "image_encoder.onnx"
    for content in (b"tactics ", b"tactics tactics "):
        engines.build_plan(trt, source, {}, timing_cache=cache)
        assert cache.read_bytes() == content
    cache.write_bytes(b"of another GPU")
    engines.build_plan(trt, source, {}, timing_cache=cache)
    assert cache.read_bytes() == b"tactics "
    assert "timing.cache is of another TensorRT or GPU; it is made anew" in caplog.text


def test_a_build_that_fails_gives_tensorrt_s_own_reason(tmp_path):
    trt = tensorrt("11.1.0.1", plan=None, complaint="no kernel for this")
    with pytest.raises(EngineError, match=r"TensorRT 11.1.0.1 cannot build image_encoder.onnx: no kernel for this"):
        engines.build_plan(trt, tmp_path / "image_encoder.onnx", {})
    with pytest.raises(EngineError, match=r"cannot build image_encoder.onnx: no reason given"):
        engines.build_plan(tensorrt("11.1.0.1", plan=None), tmp_path / "image_encoder.onnx", {})


def test_a_tensorrt_that_the_driver_is_too_old_for_says_so(tmp_path):
    trt = tensorrt("11.1.0.1", complaint="CUDA initialization failure with error: 35", starts=False)
    with pytest.raises(EngineError, match=r"TensorRT 11.1.0.1 cannot start here: CUDA init.* error: 35; its driver"):
        engines.build_plan(trt, tmp_path / "image_encoder.onnx", {})


def test_engines_are_built_and_put_into_the_repository(tensorrt_directory, machine, monkeypatch):
    module = tensorrt(HERE["version"])
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    plans_made = engines.make_engines(tensorrt_directory)
    assert {path.read_bytes() for path in plans_made.values()} == {b"plan"}
    assert (tensorrt_directory / "timing.cache").read_bytes() == b"tactics tactics "
    assert engines.check_directory(tensorrt_directory).keys() == plans_made.keys()
    report = json.loads((tensorrt_directory / "build.json").read_text())
    assert report["engines"] == {"tensorrt": "10.13.2.6", "capability": "89"}
    assert report["timings_s"].keys() >= {"export", "engines"}
    assert {plan.name for plan in plans_made.values()} | {"timing.cache"} <= report["files"].keys()
    assert "build.json" not in report["files"]


def test_plan_names_of_two_precisions_differ():
    fields = {"model": "image_encoder", "batch": 8, "digest": "0" * 12, **HERE}
    assert PlanName(precision="fp16", **fields).file != PlanName(precision="fp8", **fields).file
