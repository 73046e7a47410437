"""The sample catalogue and its queries, for the demo."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from product_match.contract import models
from product_match.contract.errors import ConfigError
from product_match.repository.shipped import shipped_sample
from product_match_client.cli.bulk import BulkLoad, BulkSettings, Summary
from product_match_client.cli.output import Console
from product_match_client.loading.loader import LoadSettings
from product_match_client.loading.sources.opening import open_source

PRODUCTS: Final = "products.jsonl"
QUERIES: Final = "queries.jsonl"
KINDS: Final = ("image", "text", "both")
COMPOSED: Final = {"like", "unlike", "filter"}


@dataclass(frozen=True, kw_only=True)
class SampleQuery:
    """One query of the sample.

    Attributes:
        kind: "image", "text" or "both".
        image: Its photo, if it has one.
        text: Its words, if it has any.
    """

    kind: str
    image: Path | None = None
    text: str | None = None

    def title(self) -> str:
        """Return what is asked, as a heading."""
        parts = [str(self.image)] if self.image else []
        return " + ".join([*parts, f'"{self.text}"'] if self.text else parts)

    def curl(self, address: str, top_k: int) -> str:
        """Return the command line that asks the same with no client at all."""
        url = f"http://{address}/v2/models"
        if self.image is None:
            body = json.dumps({models.QUERY_TEXT.name: self.text, "top_k": top_k}, ensure_ascii=False)
            return f"curl -d {shlex.quote(body)} {url}/{models.PRODUCT_MATCH_TEXT}/generate"
        photo = shlex.quote(str(self.image))
        if self.text is None:
            return (
                f"curl --data-binary @{photo} -H 'Inference-Header-Content-Length: 0' -H 'top_k: {top_k}' "
                f"{url}/{models.PRODUCT_MATCH_IMAGE}/infer --output - | grep -ao '{{\"query_id\".*'"
            )
        head = json.dumps({models.QUERY_TEXT.name: self.text, "top_k": top_k}, ensure_ascii=False)[:-1]
        start = f'{head}, "{models.IMAGE_BYTES.name}": "data:;base64,'
        return (
            f"(echo {shlex.quote(start)}; base64 -w0 {photo}; echo '\"}}') | tr -d '\\n' | "
            f"curl -d @- {url}/{models.PRODUCT_MATCH}/generate"
        )


def sample_folder(given: Path | None) -> Path:
    """Return the folder of the sample catalogue: the given one, else the shipped one, as short as it can be written.

    Raises:
        ConfigError: None is given, and none is installed.
    """
    folder = given or shipped_sample()
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


def load_sample(url: str, folder: Path, console: Console) -> Summary:
    """Load the sample catalogue into a server; products that it holds already are left out.

    Raises:
        ProductMatchError: The sample or the server is not there.
    """
    source = open_source(str(folder / PRODUCTS))
    settings = BulkSettings(load=LoadSettings(wait=True, give_up_after_s=60.0))
    return BulkLoad(url, settings, console).run(source.records(), total=source.count(), label="sample catalogue")


def sample_queries(folder: Path) -> list[SampleQuery]:
    """Return the first query that is only a photo, the first that is only words, and the first that is both.

    Raises:
        ConfigError: The file is not there, or holds no such queries.
    """
    path = folder / QUERIES
    try:
        entries: list[dict[str, Any]] = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        queries = [_query(entry, folder) for entry in entries if not entry.keys() & COMPOSED]
        return [next(query for query in queries if query.kind == kind) for kind in KINDS]
    except (OSError, ValueError, AttributeError, TypeError, StopIteration) as error:
        raise ConfigError(
            f"{path} does not hold the sample's queries ({error!r}); leave --sample-data out, or give a "
            "folder with products.jsonl and queries.jsonl"
        ) from error


def _query(entry: dict[str, Any], folder: Path) -> SampleQuery:
    image, text = entry.get("image"), entry.get("text")
    kind = "both" if image and text else "image" if image else "text"
    return SampleQuery(kind=kind, image=folder / image if image else None, text=text)
