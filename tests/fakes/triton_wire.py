"""Real sockets that speak just enough of Triton's HTTP and gRPC protocols to answer one BYTES output."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc


class RefusedError(Exception):
    """Makes the server answer with an error."""

    def __init__(self, http_status: int, grpc_status: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.http_status, self.grpc_status = http_status, grpc_status


OUTPUTS = {"product_index": "receipt", "feedback": "receipt", "catalogue": "result"}
Handler = Callable[[str, dict[str, list[bytes]], dict[str, object]], list[bytes]]


def _split(data: bytes) -> list[bytes]:
    rows = []
    while data:
        (size,) = struct.unpack_from("<I", data)
        rows.append(data[4 : 4 + size])
        data = data[4 + size :]
    return rows


def _joined(rows: list[bytes]) -> bytes:
    return b"".join(struct.pack("<I", len(row)) + row for row in rows)


@contextmanager
def http_server(handler: Handler) -> Iterator[str]:
    """Serve Triton's HTTP protocol on a port of the loopback; yield `host:port`."""

    class RequestHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(200, b"", {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            size = int(self.headers["Inference-Header-Content-Length"])
            header, data = json.loads(body[:size]), body[size:]
            columns = {}
            for tensor in header["inputs"]:
                length = tensor["parameters"]["binary_data_size"]
                columns[tensor["name"]], data = _split(data[:length]), data[length:]
            model = self.path.split("/")[3]
            try:
                rows = handler(model, columns, header.get("parameters", {}))
            except RefusedError as refusal:
                self._send(refusal.http_status, json.dumps({"error": str(refusal)}).encode(), {})
                return
            payload = _joined(rows)
            tensor = {
                "name": OUTPUTS.get(model, "matches"),
                "datatype": "BYTES",
                "shape": [len(rows), 1],
                "parameters": {"binary_data_size": len(payload)},
            }
            head = json.dumps({"outputs": [tensor] if rows else []}).encode()
            self._send(200, head + payload, {"Inference-Header-Content-Length": str(len(head))})

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), RequestHandler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def grpc_server(handler: Handler) -> Iterator[str]:
    """Serve Triton's gRPC protocol on a port of the loopback; yield `grpc://host:port`."""

    class Servicer(service_pb2_grpc.GRPCInferenceServiceServicer):
        def ServerReady(self, request, context):  # noqa: N802
            return service_pb2.ServerReadyResponse(ready=True)

        def ModelInfer(self, request, context):  # noqa: N802
            columns = {
                tensor.name: _split(data)
                for tensor, data in zip(request.inputs, request.raw_input_contents, strict=True)
            }
            parameters = {
                name: getattr(value, value.WhichOneof("parameter_choice"))
                for name, value in request.parameters.items()
            }
            try:
                rows = handler(request.model_name, columns, parameters)
            except RefusedError as refusal:
                context.abort(refusal.grpc_status, str(refusal))
            answer = service_pb2.ModelInferResponse()
            if rows:
                output = answer.outputs.add()
                output.name, output.datatype = OUTPUTS.get(request.model_name, "matches"), "BYTES"
                output.shape.extend([len(rows), 1])
                answer.raw_output_contents.append(_joined(rows))
            return answer

    server = grpc.server(futures.ThreadPoolExecutor(4))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"grpc://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
