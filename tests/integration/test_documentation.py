"""The commands and the Python of the README and of docs/ run as they stand against the live server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.live_server import PROJECT

pytestmark = pytest.mark.triton

_BLOCK = re.compile(r"<!-- run: ([\w-]+) -->\n```(bash|python)\n(.*?)```", re.DOTALL)
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def pages():
    return [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]


def blocks():
    for page in pages():
        for name, language, code in _BLOCK.findall(page.read_text(encoding="utf-8")):
            yield pytest.param(language, code, id=f"{page.stem}-{name}")


@pytest.mark.parametrize(("language", "code"), list(blocks()))
def test_a_documented_block_runs(server, language, code, tmp_path):
    code = code.replace("localhost:8000", server.http).replace("localhost:8001", server.grpc)
    code = code.replace("localhost:8002", server.metrics)
    command = ["bash", "-euo", "pipefail", "-c", code] if language == "bash" else [sys.executable, "-c", code]
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PRODUCT_MATCH_URL": server.http,
        "TMPDIR": str(tmp_path),
    }
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), done.stderr


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_runs_what_it_shows():
    shown = re.findall(r"```(?:bash|python)\n", (PROJECT / "README.md").read_text(encoding="utf-8"))
    run = [block for block in blocks() if block.id.startswith("README-")]
    # `make demo` and `make test` are run by CI itself and by the demo's own test.
    assert len(shown) - 2 == len(run)
