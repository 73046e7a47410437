"""The production command line on the Triton that is here, with stores over the network as in the compose file."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request

import pytest
import tritonclient.http as http_client
from pymongo import MongoClient

from ensemble_builder.plans import ONNX_FILES, plan_name
from ensemble_builder.repository import assemble_production
from product_match.container import ProductionServer
from product_match.contract.encoder import load_encoder
from product_match.contract.products import product_words
from product_match.host.ports import LOOPBACK, PortRequest, choose_ports
from product_match.host.processes import ChildProcess
from product_match.repository.assembly import assemble_repository
from product_match.settings import Secret, ServingSettings, VectorIndexKind
from product_match.stack import triton_server as triton
from product_match.triton import flags
from product_match.triton.flags import Flag, ListenAddress
from tests.fakes.live_server import PROJECT, LiveServer
from tests.fakes.qdrant_server import FakeQdrant

pytestmark = pytest.mark.triton

ENCODER = PROJECT / "default_encoder" / "embedded"
ADMIN_KEY = "open-sesame"


@pytest.fixture(scope="module")
def qdrant():
    with FakeQdrant(api_key="qdrant-key") as server:
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory, document_server, qdrant):
    """Triton started as in the container, but for where its own files are and what this version does not know."""
    place = tmp_path_factory.mktemp("production")
    runtime = triton.locate_runtime()
    ports = choose_ports(
        {name: PortRequest(port=0, purpose=name, option=name) for name in ("http", "grpc", "metrics")}
    )
    assemble_repository(PROJECT / "model_repository", load_encoder(ENCODER), place / "models")
    production = ProductionServer(
        model_repository=place / "models",
        listener=ListenAddress(
            address=LOOPBACK, http_port=ports["http"], grpc_port=ports["grpc"], metrics_port=ports["metrics"]
        ),
        gpu=False,
        admin_key=ADMIN_KEY,
    )
    settings = ServingSettings(
        encoder_directory=ENCODER,
        mongodb_uri=Secret(document_server.uri),
        mongodb_database=f"production_{os.getpid()}",
        vector_index=VectorIndexKind.SERVER,
        qdrant_url=qdrant.address,
        qdrant_api_key=Secret("qdrant-key"),
    )
    here = [
        Flag(name="backend-directory", value=triton.build_backends(runtime, place / "backends")),
        Flag(name="cache-directory", value=runtime.caches),
    ]
    child = ChildProcess(
        name="Triton",
        command=[
            *production.command_line(str(runtime.binary), flags.EMBEDDED_VERSION),
            *flags.arguments(here, flags.EMBEDDED_VERSION),
        ],
        environment=triton.process_environment(runtime, os.environ, settings.to_environment()),
        log_file=place / "triton.log",
    )
    child.start()
    try:
        while not triton.ready(ports["http"]):
            assert child.running, child.describe_end()
            time.sleep(0.05)
        yield LiveServer(
            process=None,
            state_directory=place,
            endpoints={name: f"{LOOPBACK}:{port}" for name, port in ports.items()},
        )
    finally:
        child.stop(10.0)
        with MongoClient(document_server.uri) as client:
            client.drop_database(settings.mongodb_database)


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
        wait=True,
    )
    assert [receipt["id"] for receipt in receipts] == [product["id"] for product in products]
    (collection,) = qdrant.collections.values()
    assert len(collection.points) == 8

    answers = server.infer("product_match_image", {"image_bytes": photos[:3]}, top_k=1)
    assert [answer["matches"][0]["product_id"] for answer in answers] == [product["id"] for product in products[:3]]
    assert answers[0]["matches"][0]["product"]["name"] == products[0]["name"]


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
