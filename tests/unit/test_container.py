"""The container's entry: what it becomes, and what it refuses in one sentence."""

from __future__ import annotations

import sys

import pytest

from product_match.container import engines, triton_command
from product_match.container import entry as production
from product_match.contract.access import Key, KeyRing, Scope
from product_match.contract.errors import ConfigError, PlatformError
from product_match.host import platforms
from product_match.settings import ServingSettings
from product_match.triton import flags
from product_match.triton.flags import Flag, arguments
from tests.fakes.encoders import encoder_spec

PYTHON = (sys.executable, "-c")
KEYS = KeyRing(
    open=frozenset({Scope.SEARCH}), keys=(Key(name="shop", sha256="0" * 64, may=frozenset({Scope.WRITE})),)
).to_json()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An encoder directory with a model repository, and a `tritonserver` on PATH."""
    (tmp_path / "encoder" / "model_repository" / "retrieval").mkdir(parents=True)
    (tmp_path / "encoder" / "encoder.json").write_text(encoder_spec().to_json())
    (tmp_path / "encoder" / "model_repository" / "retrieval" / "config.pbtxt").touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tritonserver").touch(mode=0o755)
    monkeypatch.setattr(production, "ASSEMBLED", tmp_path / "assembled")
    monkeypatch.setattr(engines, "check_engines", lambda directory: None)
    return tmp_path


@pytest.fixture
def environment(place):
    return {
        "PATH": str(place / "bin"),
        "PRODUCT_MATCH_ENCODER_DIRECTORY": str(place / "encoder"),
        "PRODUCT_MATCH_MONGODB_URI": "mongodb://product_match:hunter2@mongodb:27017/product_match",
        "PRODUCT_MATCH_VECTOR_INDEX": "server",
        "PRODUCT_MATCH_QDRANT_URL": "qdrant:6334",
        "PRODUCT_MATCH_KEYS": KEYS,
        "TRITON_SERVER_VERSION": "2.75.0",
    }


def command(place, environment, *argv):
    """Triton's command line."""
    argv = argv or ("--model-repository", str(place / "encoder" / "model_repository"))
    return production.prepare(production._parser().parse_args(argv), environment).command


def refused(place, environment, *argv):
    """The exit code of a start that comes to nothing."""
    argv = argv or ("--model-repository", str(place / "encoder" / "model_repository"))
    return production.main(argv, environment)


def test_it_runs_triton_with_the_flags_of_its_version(place, environment):
    given = command(place, environment)
    assert given[0] == str(place / "bin" / "tritonserver")
    for flag in (
        f"--model-repository={place}/encoder/model_repository",
        "--http-address=0.0.0.0",
        "--grpc-port=8001",
        "--model-control-mode=none",
        "--disable-auto-complete-config",
        "--exit-timeout-secs=30",
        "--http-max-input-size=134217728",
        "--allow-client-shm=false",
        "--metrics-config=summary_latencies=true",
        "--cuda-memory-pool-byte-size=0:268435456",
    ):
        assert flag in given
    assert "--allow-gpu-metrics=false" not in given


def test_flags_of_a_newer_triton_are_left_out_for_an_older_one():
    given = [Flag(name="old", value=1), Flag(name="new", value=True, since=(2, 69)), Flag(name="switch")]
    assert arguments(given, (2, 51)) == ["--old=1", "--switch"]
    assert arguments(given, (2, 69)) == ["--old=1", "--new=true", "--switch"]
    assert arguments(given, (3, 0)) == ["--old=1", "--new=true", "--switch"]


def test_without_a_gpu_the_repository_is_assembled_from_the_installed_adapters(place, environment):
    given = command(place, environment, "--cpu", "--http-port", "9000")
    assert f"--model-repository={place}/assembled" in given
    assert "--allow-gpu-metrics=false" in given
    assert "--http-port=9000" in given
    assert (place / "assembled" / "image_encoder" / "1" / "model.py").is_file()


def test_the_key_is_the_given_one_or_nobodys_and_passwords_stay_out_of_the_log(place, environment, caplog):
    caplog.set_level("INFO")
    given = command(place, {**environment, "TRITON_ADMIN_KEY": "open-sesame"})
    assert f"--http-restricted-api={','.join(flags.RESTRICTED_APIS)}:product-match-admin=open-sesame" in given
    file = place / "admin_key"
    file.write_text("from-a-file\n")
    assert any("=from-a-file" in flag for flag in command(place, {**environment, "TRITON_ADMIN_KEY_FILE": str(file)}))
    first, second = (
        next(flag for flag in command(place, environment) if flag.startswith("--grpc-restricted-protocol="))
        for _ in range(2)
    )
    assert first != second
    assert "tiny@0123456789ab" in caplog.text
    assert "hunter2" not in caplog.text
    assert "open-sesame" not in caplog.text


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"PRODUCT_MATCH_MONGODB_URI": ""}, "PRODUCT_MATCH_MONGODB_URI is not set"),
        ({"TRITON_ADMIN_KEY_FILE": "/nowhere"}, "TRITON_ADMIN_KEY_FILE: /nowhere cannot be read"),
        ({"PRODUCT_MATCH_KEYS": ""}, "production asks callers for keys, and none are set: make a file of them with"),
        ({"PRODUCT_MATCH_KEYS": "pm_secret"}, "the keys (PRODUCT_MATCH_KEYS) cannot be read: they are not JSON"),
        ({"PRODUCT_MATCH_ENCODER_DIRECTORY": "/nowhere"}, "/nowhere is not an encoder directory"),
        (
            {"TRITON_SERVER_VERSION": "2.51.0"},
            "Triton 2.51.0 is too old for production, 2.71 (26.07) or later is needed",
        ),
        (
            {
                "PRODUCT_MATCH_VECTOR_INDEX": "edge",
                "PRODUCT_MATCH_INDEX_DIRECTORY": "/i",
                "PRODUCT_MATCH_OWNER_SOCKET": "/s",
            },
            "production keeps vectors in a Qdrant server: set PRODUCT_MATCH_VECTOR_INDEX=server",
        ),
        ({"PATH": "/nowhere"}, "tritonserver is not on PATH; run this inside the image of Dockerfile.triton"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(place, environment, caplog, variables, words):
    assert refused(place, {**environment, **variables}) == 1
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert words in record.getMessage()


def test_a_directory_without_models_is_refused(place, environment, caplog):
    assert refused(place, environment, "--model-repository", str(place / "bin")) == 1
    assert (
        "bin is not a model repository; make one with `ensemble-builder engines` on the GPU that serves"
        in caplog.text
    )


def test_too_little_shared_memory_is_told(place, environment, caplog, monkeypatch):
    monkeypatch.setattr(platforms, "free_shared_memory", lambda: 1024)
    assert refused(place, environment) == 1
    assert "docker run --shm-size=256m" in caplog.text


def test_one_of_the_two_repositories_must_be_given(capsys):
    with pytest.raises(SystemExit) as misuse:
        production.main([], {})
    assert misuse.value.code == 2
    assert "one of the arguments --model-repository --cpu is required" in capsys.readouterr().err


def test_the_version_of_an_image_that_does_not_tell_is_taken_for_the_least():
    assert triton_command.triton_version({}) == flags.LEAST_PRODUCTION_VERSION
    assert triton_command.triton_version({"TRITON_SERVER_VERSION": "2.75.0"}) == (2, 75)
    with pytest.raises(PlatformError, match="set TRITON_TAG to a newer image"):
        triton_command.triton_version({"TRITON_SERVER_VERSION": "2.70.1"})


def test_a_gpu_that_does_not_answer_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "ENGINE_CHECK_S", 0.2)
    with pytest.raises(ConfigError, match=r"cannot be checked: no answer within 0\.2 s; check that `nvidia-smi`"):
        engines.check_engines(tmp_path, (*PYTHON, "import time; time.sleep(60)"))


def test_engines_that_do_not_fit_are_told_in_the_builders_words(tmp_path):
    engines.check_engines(tmp_path, (*PYTHON, "pass"))
    complaint = "import sys; sys.exit('image_encoder.plan was built for TensorRT 10.13, here is 11.0')"
    with pytest.raises(ConfigError) as refused:
        engines.check_engines(tmp_path, (*PYTHON, complaint))
    assert str(refused.value) == (
        f"the engines in {tmp_path} cannot be served: image_encoder.plan was built for TensorRT 10.13, here is 11.0"
    )
    with pytest.raises(
        ConfigError, match="cannot be checked: /nowhere: No such file or directory; build the image again"
    ):
        engines.check_engines(tmp_path, ("/nowhere",))


def test_engines_are_guarded_once_they_are_served(place, environment):
    settings = ServingSettings.from_environment(environment)
    assert engines.guard_engines(settings, "http://127.0.0.1:8000", 4711, ("/nowhere",)) is None
    (place / "encoder" / "reference.npz").touch()
    told = place / "told"
    code = f"import pathlib, sys; pathlib.Path({str(told)!r}).write_text(' '.join(sys.argv[1:]))"
    guard = engines.guard_engines(settings, "http://127.0.0.1:9000", 4711, (*PYTHON, code))
    assert guard.wait(30) == 0
    assert told.read_text() == (
        f"--directory {place}/encoder --url http://127.0.0.1:9000 --record /tmp/product-match --guard 4711"
    )


def test_grpc_is_encrypted_with_a_certificate_and_its_key(place, environment, caplog):
    repository = ("--model-repository", str(place / "encoder" / "model_repository"))
    for name in ("cert.pem", "key.pem"):
        (place / name).touch()
    certificate, key = f"--grpc-certificate={place}/cert.pem", f"--grpc-key={place}/key.pem"
    given = command(place, environment, *repository, certificate, key)
    for flag in ("grpc-use-ssl=true", f"grpc-server-cert={place}/cert.pem", f"grpc-server-key={place}/key.pem"):
        assert f"--{flag}" in given
    assert not any("ssl" in flag for flag in command(place, environment))
    assert refused(place, environment, *repository, certificate) == 1
    assert refused(place, environment, *repository, certificate, "--grpc-key=/nowhere") == 1
    first, second = (record.getMessage() for record in caplog.records if record.levelname == "ERROR")
    assert first == "--grpc-certificate and --grpc-key go together; give both, or neither to leave gRPC plain"
    assert second == "/nowhere cannot be read; give certificate and key of Triton's gRPC in PEM"
