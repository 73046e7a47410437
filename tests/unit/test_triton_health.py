"""What is read of Triton's life, of a server that answers as the test says."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from product_match.triton import health

METRICS = """# HELP nv_inference_request_success Number of successful inference requests, all batch sizes
nv_inference_request_success{model="retrieval",version="1"} 40
nv_inference_request_success{model="catalogue",version="1"} 7
nv_inference_request_failure{model="retrieval",reason="OTHER",version="1"} 2
nv_inference_request_failure{model="retrieval",reason="REJECTED",version="1"} 1
nv_inference_pending_request_count{model="retrieval",version="1"} 5
nv_inference_queue_duration_us{model="retrieval",version="1"} 99
"""


@pytest.fixture
def triton():
    """Answers every path with the status that the test gives it."""

    class Handler(BaseHTTPRequestHandler):
        statuses: dict[str, int] = {}  # noqa: RUF012 - the class is made anew for each test

        def do_GET(self):
            self.send_response(self.statuses.get(self.path, 404))
            self.end_headers()
            self.wfile.write(METRICS.encode())

        def log_message(self, *arguments):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}", Handler.statuses
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("live", "ready", "expected"), [(200, 200, (True, True)), (200, 503, (True, False)), (500, 503, (False, False))]
)
def test_life_and_readiness_are_two_things(triton, live, ready, expected):
    address, statuses = triton
    statuses.update({"/v2/health/live": live, "/v2/health/ready": ready})
    assert (health.alive(address), health.ready(address)) == expected


def test_the_work_of_models_is_read_from_the_metrics(triton):
    address, statuses = triton
    statuses["/metrics"] = 200
    assert health.signs("127.0.0.1:1", address).work() == {"retrieval": (5, 43), "catalogue": (0, 7)}


def test_where_nobody_answers_nothing_is_alive():
    signs = health.signs("127.0.0.1:1", "127.0.0.1:1")
    assert (signs.is_alive(), signs.is_ready(), dict(signs.work())) == (False, False, {})
