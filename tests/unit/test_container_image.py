"""The compose file and the Dockerfile: valid, safe by default, and in agreement with the code and with each other.

No container is started here; docs/production.md says what has been executed and what has not.
"""

from __future__ import annotations

import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from product_match.container import entry as production
from product_match.container import triton_command
from product_match.contract.access import KeyRing, Scope
from product_match.settings import PREFIX, ServingSettings, VectorIndexKind
from product_match.triton import flags
from product_match_client.cli.command import main

PROJECT = Path(__file__).parents[2]
COMPOSE_FILE = PROJECT / "docker-compose.yml"
DOCKERFILE = PROJECT / "Dockerfile.triton"
SERVING = {"triton", "triton-cpu"}
STORES = {"qdrant", "mongodb"}
OBSERVING = {"prometheus", "grafana"}


@pytest.fixture(scope="module")
def compose():
    return YAML(typ="safe").load(COMPOSE_FILE)


@pytest.fixture(scope="module")
def example():
    """The variables of `.env.example`."""
    lines = (PROJECT / ".env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture(scope="module")
def dockerfile():
    """The instructions of the Dockerfile, continuation lines joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]


def values(dockerfile, instruction):
    return [rest for name, rest in dockerfile if name == instruction]


def with_values(value, variables):
    """Replace `${NAME:-default}` and `${NAME:?words}` as compose does."""
    return re.sub(r"\$\{(\w+)(?::[-?]([^}]*))?\}", lambda match: variables.get(match[1]) or match[2] or "", value)


def tomllib_load(path):
    """Python 3.10 has no tomllib; setuptools reads the file for itself."""
    from setuptools.config.pyprojecttoml import load_file

    return load_file(str(path))


def run_tool(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


def test_the_compose_file_fits_the_compose_specification():
    done = run_tool(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE_FILE)
    assert done.returncode == 0, done.stdout


def test_a_compose_file_that_does_not_fit_would_be_noticed(tmp_path):
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(COMPOSE_FILE.read_text().replace("condition: service_healthy", "condition: service_happy"))
    done = run_tool(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", wrong)
    assert done.returncode == 1


def test_hadolint_has_nothing_to_say_about_the_dockerfile():
    done = run_tool(Path(sys.executable).with_name("hadolint"), DOCKERFILE)
    assert (done.returncode, done.stdout) == (0, "")


def test_triton_waits_for_its_engines_and_for_healthy_stores(compose):
    stores = {name: {"condition": "service_healthy"} for name in STORES}
    engines = {"engines": {"condition": "service_completed_successfully"}}
    assert compose["services"]["triton"]["depends_on"] == stores | engines
    assert compose["services"]["triton-cpu"]["depends_on"] == stores


def test_what_keeps_running_is_watched_bounded_and_restarted(compose):
    services = compose["services"]
    assert services.keys() == SERVING | STORES | OBSERVING | {"engines"}
    for name in SERVING | STORES | OBSERVING:
        assert {"test", "interval", "timeout", "retries", "start_period"} <= services[name]["healthcheck"].keys()
        assert services[name]["restart"] == "unless-stopped"
        assert services[name]["deploy"]["resources"]["limits"]["memory"]
        assert services[name]["logging"]["options"]["max-size"]
    assert services["engines"]["restart"] == "no"


def test_triton_is_given_longer_to_stop_than_it_gives_requests_in_flight(compose):
    for name in SERVING:
        assert int(compose["services"][name]["stop_grace_period"].removesuffix("s")) > triton_command.EXIT_TIMEOUT_S
        assert compose["services"][name]["shm_size"]
        assert compose["services"][name]["healthcheck"]["test"][-1] == "http://127.0.0.1:8003/ready"
        assert compose["services"][name]["init"] is True


def test_ports_are_published_on_loopback_unless_asked_otherwise_and_stores_publish_none(compose, example):
    for name in SERVING:
        ports = compose["services"][name]["ports"]
        assert [with_values(port, {}) for port in ports] == [
            f"127.0.0.1:{port}:{port}" for port in (8000, 8001, 8002, 8003)
        ]
        assert with_values(ports[0], {"BIND_ADDRESS": "10.0.0.5", "HTTP_PORT": "80"}) == "10.0.0.5:80:8000"
    assert example["BIND_ADDRESS"] == "127.0.0.1"
    for name, port in (("prometheus", 9090), ("grafana", 3000)):
        assert [with_values(each, {}) for each in compose["services"][name]["ports"]] == [f"127.0.0.1:{port}:{port}"]
    for name in STORES | {"engines"}:
        assert "ports" not in compose["services"][name]
    assert compose["networks"]["stores"]["internal"] is True


def test_only_the_gpu_profile_asks_for_a_gpu(compose):
    def devices(service):
        return service["deploy"]["resources"].get("reservations", {}).get("devices", [])

    asking = {name for name, service in compose["services"].items() if devices(service)}
    assert asking == {"engines", "triton"}
    profiles = {name: service.get("profiles") for name, service in compose["services"].items()}
    assert profiles == {
        "engines": ["gpu"],
        "triton": ["gpu"],
        "triton-cpu": ["cpu"],
        "qdrant": None,
        "mongodb": None,
        "prometheus": ["observe"],
        "grafana": ["observe"],
    }


def test_what_is_kept_lies_in_named_volumes(compose):
    for name, target in (("qdrant", "/qdrant/storage"), ("mongodb", "/data/db"), ("triton", "/encoder")):
        (volume,) = [v.split(":")[0] for v in compose["services"][name]["volumes"] if v.split(":")[1] == target]
        assert volume in compose["volumes"]


def test_secrets_are_files_that_one_command_makes_and_no_variable_holds_one(compose, example, tmp_path):
    assert main(["secrets", str(tmp_path / "secrets")]) == 0
    for secret in compose["secrets"].values():
        assert (tmp_path / secret["file"]).read_text().strip()
    for name, service in compose["services"].items():
        taken = [item if isinstance(item, str) else item["source"] for item in service.get("secrets", ())]
        assert set(taken) <= compose["secrets"].keys(), name
        for variable, value in service.get("environment", {}).items():
            if re.search("KEY|PASSWORD|_URI|SECRET|TOKEN", variable):
                assert variable.endswith("_FILE"), variable
                assert value.removeprefix("/run/secrets/") in taken
    assert not [name for name in example if re.search("KEY|PASSWORD|SECRET|TOKEN", name)]


def test_every_variable_of_the_compose_file_is_in_the_example_with_the_same_default(example):
    used = dict(re.findall(r"\$\{(\w+)(?::[-?]([^}]*))?\}", COMPOSE_FILE.read_text()))
    assert used.keys() == example.keys() - {"COMPOSE_PROFILES"}
    assert used == {name: value for name, value in example.items() if name in used}


def test_the_settings_in_the_compose_file_are_ones_that_serving_takes(compose, tmp_path):
    assert main(["secrets", str(tmp_path)]) == 0
    files = {name: str(tmp_path / Path(secret["file"]).name) for name, secret in compose["secrets"].items()}
    for name in SERVING:
        given = compose["services"][name]["environment"].items()
        variables = {
            key: files[value.removeprefix("/run/secrets/")] if key.endswith("_FILE") else with_values(value, {})
            for key, value in given
        }
        settings = ServingSettings.from_environment(variables)
        assert settings.vector_index is VectorIndexKind.SERVER
        password = (tmp_path / "mongodb_password").read_text().strip()
        assert settings.mongodb_uri.value == f"mongodb://product_match:{password}@mongodb:27017/product_match"
        assert (settings.qdrant_url, settings.qdrant_api_key.value) == (
            "qdrant:6334",
            YAML(typ="safe").load(tmp_path / "qdrant.yaml")["service"]["api_key"],
        )
        ring = KeyRing.from_json(settings.keys.value)
        assert ring.find((tmp_path / "first_key").read_text().strip()).may == set(Scope)
        assert {key for key in variables if not key.startswith(PREFIX)} == {production.ADMIN_KEY_VARIABLE + "_FILE"}


def test_the_health_of_mongodb_is_asked_by_name_and_with_a_login(compose):
    asked = compose["services"]["mongodb"]["healthcheck"]["test"][-1]
    assert '--host "$$HOSTNAME"' in asked
    assert "db.auth(" in asked


def test_the_containers_commands_are_ones_that_the_entry_takes(compose, dockerfile):
    parser = production._parser()
    for name in SERVING:
        parser.parse_args(compose["services"][name]["command"])
    assert values(dockerfile, "ENTRYPOINT") == [
        '["/opt/nvidia/nvidia_entrypoint.sh", "python3", "-m", "product_match.container"]'
    ]
    assert values(dockerfile, "CMD") == ['["--model-repository", "/encoder/model_repository"]']


def test_the_image_is_pinned_new_enough_and_not_run_as_root(dockerfile, example):
    arguments = dict(line.split("=") for line in values(dockerfile, "ARG"))
    assert arguments == {name: example[name] for name in ("TRITON_TAG", "TENSORRT_VERSION")}
    release = tuple(int(part) for part in arguments["TRITON_TAG"].removesuffix("-py3").split("."))
    assert release >= flags.LEAST_PRODUCTION_RELEASE
    assert values(dockerfile, "FROM") == ["nvcr.io/nvidia/tritonserver:${TRITON_TAG}"]
    assert values(dockerfile, "USER") == ["1000:1000"]
    assert "http://127.0.0.1:8003/ready" in values(dockerfile, "HEALTHCHECK")[0]


def test_all_that_the_image_copies_exists_and_passes_the_ignore_file(dockerfile):
    kept = [
        line.removeprefix("!")
        for line in (PROJECT / "Dockerfile.triton.dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    copied = [source for line in values(dockerfile, "COPY") for source in line.split()[:-1]]
    assert "product_match" in copied
    for source in copied:
        assert (PROJECT / source).exists(), source
        assert any(fnmatch(source, pattern) for pattern in kept), source


def floors():
    """The least versions that docs/production.md names, by image."""
    page = (PROJECT / "docs" / "production.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([\w./-]+)` \| `v?([\d.]+)[\w-]*` \| ([\d.]+) \|", page, flags=re.MULTILINE)
    return {image: (pinned, least) for image, pinned, least in rows}


def version(text):
    return tuple(int(part) for part in text.split("."))


def test_no_image_is_older_than_the_floor_in_the_docs_and_the_docs_name_what_is_pinned(compose, example):
    images = {
        with_values(service["image"], example) for service in compose["services"].values() if "build" not in service
    }
    images.add(f"nvcr.io/nvidia/tritonserver:{example['TRITON_TAG']}")
    pinned = {image.split(":")[0]: re.search(r"[\d.]+", image.split(":")[1])[0] for image in images}
    known = floors()
    assert {"mongo", "qdrant/qdrant", "nvcr.io/nvidia/tritonserver"} <= known.keys()
    for image, (named, least) in known.items():
        assert version(pinned[image]) >= version(least), image
        assert named == pinned[image]
    triton = known["nvcr.io/nvidia/tritonserver"][1]
    assert version(triton) == flags.LEAST_PRODUCTION_RELEASE


def test_the_image_installs_nothing_without_a_digest_and_all_that_serving_needs(dockerfile):
    text = (PROJECT / "constraints-image.txt").read_text()
    pins = {
        re.sub("[-_.]+", "-", name.lower()): rest.count("--hash=sha256:")
        for name, rest in re.findall(
            r"^([\w.-]+)(?:\[[\w,]+\])?==(.*?)(?=^\w|\Z)", text, flags=re.MULTILINE | re.DOTALL
        )
    }
    assert all(pins.values())
    project = tomllib_load(PROJECT / "pyproject.toml")["project"]
    extras = project["optional-dependencies"]
    needs = [*project["dependencies"], *extras["serving"], *extras["heic"], *extras["tracing"]]
    for needed in (one for one in needs if not one.startswith("product-match[")):
        assert re.sub("[-_.]+", "-", re.match(r"[\w.-]+", needed)[0].lower()) in pins, needed
    install = next(line for line in values(dockerfile, "RUN") if "--require-hashes" in line)
    assert install.count("pip install") == 3
    assert install.count("--no-deps") == 2


def test_each_profile_has_a_directory_of_its_own_and_an_empty_one_is_told(compose, example, tmp_path):
    sources = {
        name: next(with_values(v, {}).split(":")[0] for v in compose["services"][name]["volumes"] if "ENCODER" in v)
        for name in ("engines", "triton-cpu")
    }
    assert sources == {
        "engines": example["GPU_ENCODER_DIRECTORY"],
        "triton-cpu": example["ENCODER_DIRECTORY"],
    }
    (command,) = compose["services"]["engines"]["command"]
    done = run_tool("/bin/bash", "-euo", "pipefail", "-c", command.replace("/source", str(tmp_path)))
    assert done.returncode == 1
    assert "make one with `ensemble-builder build --target tensorrt" in done.stderr
