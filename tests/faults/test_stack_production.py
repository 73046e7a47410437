"""The production command line on the Triton that is here, with stores over the network as in the compose file."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
import tritonclient.http as http_client
from pymongo import MongoClient

from ensemble_builder.plans import ONNX_FILES, plan_name
from ensemble_builder.repository import assemble_production
from product_match.contract.access import Key, KeyRing, Scope, key_digest
from product_match.contract.encoder import load_encoder
from product_match.contract.errors import ForbiddenError, TooManyRequestsError, UnauthenticatedError, UnavailableError
from product_match.contract.products import product_words
from product_match.host.polling import wait_until
from product_match.host.ports import LOOPBACK, PortRequest, choose_ports
from product_match.host.processes import children_of, model_of
from product_match.settings import Secret, ServingSettings, VectorIndexKind
from product_match.stack import triton_server as triton
from product_match.triton import flags
from product_match.triton.flags import ADMIN_KEY_VARIABLE, Flag
from product_match_client import ProductMatchClient
from tests.fakes.certificates import loopback_certificate
from tests.fakes.live_server import PROJECT, LiveServer
from tests.fakes.qdrant_server import FakeQdrant

pytestmark = pytest.mark.triton

ENCODER = PROJECT / "default_encoder" / "embedded"
ADMIN_KEY = "open-sesame"
SHOP, OLD_SHOP, AUDITOR, SLOW = (f"pm_{name}_0123456789" for name in ("shop", "old", "auditor", "slow"))
KEYS = KeyRing(
    open=frozenset({Scope.SEARCH}),
    keys=(
        Key(name="shop", sha256=key_digest(SHOP), may=frozenset({Scope.WRITE})),
        Key(name="old shop", sha256=key_digest(OLD_SHOP), may=frozenset({Scope.WRITE}), expires=date(2026, 1, 1)),
        Key(name="auditor", sha256=key_digest(AUDITOR), may=frozenset({Scope.EXPORT})),
        Key(name="slow", sha256=key_digest(SLOW), may=frozenset({Scope.SEARCH}), rows_per_second=0.001, burst=2),
    ),
)


@pytest.fixture(scope="module")
def qdrant():
    with FakeQdrant(api_key="qdrant-key") as server:
        yield server


def triton_of_this_machine(place):
    """Write a `tritonserver` that is the embedded one, without the flags that it is too old for."""
    runtime = triton.locate_runtime()
    backends = triton.build_backends(runtime, place / "backends")
    own = [
        Flag(name="backend-directory", value=backends),
        Flag(name="cache-directory", value=runtime.caches),
        # Production's models are not loaded and unloaded, so the container needs none.
        Flag(name="backend-config", value=f"python,shm-region-prefix-name=production_{os.getpid()}_"),
    ]
    program = place / "bin" / "tritonserver"
    program.parent.mkdir()
    program.write_text(
        f"""#!{sys.executable}
import os, sys
unknown = ("--http-max-input-size=", "--allow-client-shm=")
given = [argument for argument in sys.argv[1:] if not argument.startswith(unknown)]
os.execv({str(runtime.binary)!r}, [{str(runtime.binary)!r}, *given, *{[str(flag) for flag in own]!r}])
"""
    )
    program.chmod(0o755)
    return runtime, program.parent


@dataclass
class Container:
    """The entry point as a process, with its stores."""

    process: subprocess.Popen[bytes]
    log: Path
    health: str

    def ask(self, path):
        try:
            with urllib.request.urlopen(f"http://{self.health}{path}", timeout=10) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def models(self):
        (server,) = children_of(self.process.pid)
        return {model_of(command): pid for pid, command in children_of(server).items()}


@pytest.fixture(scope="module")
def container(tmp_path_factory, document_server, qdrant):
    """The container's entry point, with the Triton of this machine in place of the image's."""
    place = tmp_path_factory.mktemp("production")
    runtime, programs = triton_of_this_machine(place)
    names = ("http", "grpc", "metrics", "health")
    ports = choose_ports({name: PortRequest(port=0, purpose=name, option=name) for name in names})
    settings = ServingSettings(
        encoder_directory=ENCODER,
        mongodb_uri=Secret(document_server.uri),
        mongodb_database=f"production_{os.getpid()}",
        vector_index=VectorIndexKind.SERVER,
        qdrant_url=qdrant.address,
        qdrant_api_key=Secret("qdrant-key"),
        store_timeout_s=2.0,
        keys=Secret(KEYS.to_json()),
    )
    environment = triton.process_environment(runtime, os.environ, settings.to_environment())
    environment |= {"PATH": f"{programs}:{environment['PATH']}", ADMIN_KEY_VARIABLE: ADMIN_KEY}
    options = [f"--{name}-port={port}" for name, port in ports.items()]
    for name, content in zip(("key", "certificate"), loopback_certificate(), strict=True):
        (place / name).write_bytes(content)
        options.append(f"--grpc-{name}={place / name}")
    command = [sys.executable, "-m", "product_match.container", "--cpu", f"--address={LOOPBACK}", *options]
    with (place / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--store-away=0.5"], env=environment, stdout=log, stderr=log)
    started = Container(process=process, log=place / "log", health=f"{LOOPBACK}:{ports['health']}")
    try:
        assert wait_until(lambda: process.poll() is not None or triton.ready(ports["http"]), 60.0)
        assert process.poll() is None, started.log.read_text()
        started.server = LiveServer(
            process=None,
            state_directory=place,
            endpoints={name: f"{LOOPBACK}:{port}" for name, port in ports.items()},
        )
        yield started
    finally:
        process.terminate()
        process.wait(60)
        with MongoClient(document_server.uri) as client:
            client.drop_database(settings.mongodb_database)


@pytest.fixture
def server(container):
    return container.server


def test_products_indexed_through_triton_are_found_in_the_servers_stores(server, qdrant):
    lines = (PROJECT / "sample_data" / "products.jsonl").read_text(encoding="utf-8").splitlines()[:8]
    products = [json.loads(line) for line in lines]
    photos = [(PROJECT / "sample_data" / product["image"]).read_bytes() for product in products]
    receipts = server.infer(
        "product_index",
        {
            "product": [json.dumps(product).encode() for product in products],
            "image_bytes": photos,
            "query_text": [product_words(product).encode() for product in products],
        },
        wire="http",
        wait=True,
        product_match_key=SHOP,
    )
    assert [receipt["id"] for receipt in receipts] == [product["id"] for product in products]
    (collection,) = qdrant.collections.values()
    assert len(collection.points) == 8

    answers = server.infer("product_match_image", {"image_bytes": photos[:3]}, wire="http", top_k=1)
    assert [answer["matches"][0]["product_id"] for answer in answers] == [product["id"] for product in products[:3]]
    assert answers[0]["matches"][0]["product"]["name"] == products[0]["name"]


@pytest.mark.parametrize("scheme", ["http", "grpcs"])
def test_what_writes_or_exports_needs_a_key_that_is_for_it(server, scheme):
    url = f"{scheme}://{server.endpoints[scheme.removesuffix('s')]}"
    ca_file = server.state_directory / "certificate"
    product = {"id": "keyed", "name": "Green raincoat"}
    with ProductMatchClient(url, timeout_s=20.0, ca_file=ca_file) as nobody:
        assert nobody.match(text="raincoat").matches is not None
        assert nobody.count() >= 0
        with pytest.raises(UnauthenticatedError, match="indexing needs a key for write, and none came"):
            nobody.index(product)
        for refused in (nobody.export_products, lambda: nobody.delete(["keyed"]), lambda: nobody.drop("products")):
            with pytest.raises(UnauthenticatedError, match=r"needs a key for (export|write|admin), and none came"):
                refused()
    with ProductMatchClient(url, timeout_s=20.0, ca_file=ca_file, key=SHOP) as shop:
        assert shop.index(product, wait=True).product_id == "keyed"
        assert shop.delete(["keyed"], wait=True) == 1
        with pytest.raises(ForbiddenError, match="the key `shop` opens search, write; use another"):
            shop.export_products()
    with ProductMatchClient(url, timeout_s=20.0, ca_file=ca_file, key=AUDITOR) as auditor:
        assert auditor.export_products().products is not None
        with pytest.raises(ForbiddenError, match="the key `auditor` opens export, search; use another"):
            auditor.index(product)
    for key, words in ((OLD_SHOP, "the key `old shop` was good until 2026-01-01"), ("pm_wrong", "is not known here")):
        with (
            ProductMatchClient(url, timeout_s=20.0, ca_file=ca_file, key=key) as stranger,
            pytest.raises(UnauthenticatedError, match=words),
        ):
            stranger.match(text="raincoat")


def test_grpc_is_encrypted_and_a_stranger_s_certificate_is_not_believed(server):
    with ProductMatchClient(f"grpcs://{server.grpc}", timeout_s=3.0) as client, pytest.raises(UnavailableError):
        client.count()
    with ProductMatchClient(f"grpc://{server.grpc}", timeout_s=3.0) as client, pytest.raises(UnavailableError):
        client.count()


def test_a_key_that_is_used_too_often_is_told_to_wait(server):
    with ProductMatchClient(f"http://{server.http}", timeout_s=20.0, key=SLOW) as slow:
        slow.match(text="raincoat")
        slow.match(text="raincoat")
        with pytest.raises(TooManyRequestsError, match=r"may send 0\.001 rows a second, 2 at once; send this"):
            slow.match(text="raincoat")


def test_generate_takes_the_key_as_a_parameter_and_its_errors_begin_with_a_code(server):
    def ask(**fields):
        body = json.dumps({"command": '{"operation": "list"}', **fields}).encode()
        request = urllib.request.Request(f"http://{server.http}/v2/models/catalogue/generate", data=body)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)["error"]

    status, words = ask()
    assert (status, words.split("]")[0]) == (400, "[unauthenticated")
    status, words = ask(product_match_key=SHOP)
    assert (status, words.split("]")[0]) == (400, "[forbidden")
    assert ask(product_match_key=AUDITOR)[0] == 200


def test_no_key_is_written_to_the_log(container):
    written = container.log.read_text()
    assert "keys: shop, old shop, auditor, slow" in written
    assert not any(key in written for key in (SHOP, OLD_SHOP, AUDITOR, SLOW))


def test_the_administrative_interfaces_open_to_the_key_alone(server):
    def ask(headers):
        request = urllib.request.Request(f"http://{server.http}/v2/repository/index", data=b"{}", headers=headers)
        return urllib.request.urlopen(request, timeout=10)

    with pytest.raises(urllib.error.HTTPError) as refused:
        ask({})
    with refused.value:
        assert refused.value.code == 403
    with ask({flags.ADMIN_HEADER: ADMIN_KEY}) as answer:
        assert {model["state"] for model in json.load(answer)} == {"READY"}


def test_metrics_tell_latencies_by_quantile(server):
    with http_client.InferenceServerClient(server.http) as client:
        assert client.is_server_ready()
    with urllib.request.urlopen(f"http://{server.endpoints['metrics']}/metrics", timeout=10) as response:
        assert b'nv_inference_request_summary_us{model="retrieval"' in response.read()


def test_a_store_that_is_away_is_told_on_readiness_and_touches_life_not(container, qdrant):
    assert wait_until(lambda: container.ask("/ready") == (200, {"ready": True}), 20.0)
    qdrant.stop()
    try:
        assert wait_until(lambda: container.ask("/ready")[0] == 503, 20.0)
        (reason,) = container.ask("/ready")[1]["reasons"]
        assert reason.startswith("vector index is away for ")
        assert container.ask("/live") == (200, {"live": True})
    finally:
        qdrant.start()
    assert wait_until(lambda: container.ask("/ready")[0] == 200, 20.0)


def test_a_model_that_dies_ends_the_container_with_a_code_and_says_why(container):
    os.kill(container.models()["retrieval"], signal.SIGKILL)
    assert container.process.wait(60) == 70
    lines = [json.loads(line) for line in container.log.read_text().splitlines()]
    assert lines[-1]["level"] == "error"
    why = "it died 1 times within 120 s and is not started again: the process of the model "
    assert lines[-1]["message"].startswith(why)
    # Triton's own, the models' and the entry's, in one form.
    sources = {line["source"] for line in lines}
    assert any(".cc:" in source for source in sources)
    assert "product_match.container.entry" in sources


def test_triton_takes_the_configurations_of_engines_and_misses_their_backend_alone(tmp_path):
    """Reads them as the image's Triton will; this one has no TensorRT, so an engine of a few bytes will do."""
    spec, plans = load_encoder(ENCODER), {}
    for model in ONNX_FILES:
        name = plan_name(spec, ENCODER, model, version="11.0.0.114", capability="90", batch=48)
        plans[model] = tmp_path / name.file
        plans[model].write_bytes(b"plan")
    repository = assemble_production(spec, tmp_path, plans, 48)
    runtime = triton.locate_runtime()
    ports = choose_ports(
        {name: PortRequest(port=0, purpose=name, option=name) for name in ("http", "grpc", "metrics")}
    )
    command = [
        str(runtime.binary),
        f"--model-repository={repository}",
        f"--backend-directory={triton.build_backends(runtime, tmp_path / 'backends')}",
        "--disable-auto-complete-config",
        "--model-control-mode=explicit",
        *(f"--load-model={model}" for model in plans),
        *(f"--{name}-address={LOOPBACK}" for name in ports),
        *(f"--{name}-port={port}" for name, port in ports.items()),
    ]
    environment = triton.process_environment(runtime, os.environ, {})
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    said = re.findall(r"failed to load '(\w+)' version 1: (.*?), try", done.stdout + done.stderr)
    missing = "Invalid argument: unable to find backend library for backend 'tensorrt'"
    assert dict(said) == dict.fromkeys(plans, missing)
