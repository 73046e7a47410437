"""Every line of the live server's logs is one JSON object, and none holds what was sent."""

from __future__ import annotations

import base64
import json
import re
import urllib.error
import urllib.request
import uuid

import pytest

from product_match.host.polling import wait_until
from product_match.settings import LOG_LEVELS
from tests.integration.conftest import SAMPLE, sample_products

pytestmark = pytest.mark.triton


def lines(server, file="triton.log"):
    text = (server.state_directory / "logs" / file).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_every_line_says_when_how_grave_and_who(server):
    said = lines(server)
    for line in said:
        assert {"time", "level", "source", "message"} <= line.keys()
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", line["time"])
        assert line["level"] in LOG_LEVELS
    # The server's own and the models', in the same form.
    assert any(re.fullmatch(r"\w+\.cc:\d+", line["source"]) for line in said)
    for line in lines(server, "documents.log"):
        assert {"time", "level", "message"} <= line.keys()


def test_a_request_that_fails_is_a_line_with_its_name_and_nothing_of_what_was_sent(server):
    name, secret = f"shop-{uuid.uuid4().hex}", uuid.uuid4().hex
    photo = (SAMPLE / sample_products()[0]["image"]).read_bytes()
    encoded = base64.b64encode(photo).decode()
    inputs = [
        {"name": "image_bytes", "shape": [1, 1], "datatype": "BYTES", "data": [f"data:image/jpeg;base64,{encoded}"]},
        {"name": "query_text", "shape": [1, 1], "datatype": "BYTES", "data": [f"jacket {secret}"]},
    ]
    body = {"id": name, "inputs": inputs, "parameters": {"filter": json.dumps({secret: 1})}}
    request = urllib.request.Request(
        f"http://{server.http}/v2/models/product_match/infer", data=json.dumps(body).encode()
    )
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request, timeout=30)
    assert wait_until(lambda: any(line.get("request") == name for line in lines(server)), 10.0)
    (line,) = [line for line in lines(server) if line.get("request") == name]
    assert (line["model"], line["code"], line["level"]) == ("retrieval", "INVALID_ARG", "info")
    for file in ("triton.log", "documents.log"):
        text = (server.state_directory / "logs" / file).read_text(encoding="utf-8")
        assert secret not in text
        assert encoded[:40] not in text
        assert encoded[2000:2040] not in text
