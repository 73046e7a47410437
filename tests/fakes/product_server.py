"""A Product Match server in memory, over Triton's HTTP protocol: enough of it for the command line's tests."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from product_match.contract.products import content_hash, photos_digest
from tests.fakes.triton_wire import RefusedError, http_server


class ProductServer:
    """Products by id, with what the catalogue's commands answer.

    Attributes:
        entries: What `export` shows of each product.
        images: The photos of products by digest.
        queries: Parameters of each match.
        report: What `verify` answers, one after another; the last stays.
        rebuild: How a rebuild stands, one after another; the last stays.
        change: How a change of encoder stands, in the same way; None stands for a server that is away.
        asked: What changes of encoder were asked for.
        busy: Times that `status` and `verify` are not answered.
        refuse: HTTP status and message by product id, for products that are not taken.
        feedback: What was said: token, product id and what, one for each request.
        kept: Events and feedback that a page of one gives.
        confident: Whether answers have confidence, outcome and repairs.
        knows_fusion: Whether the option `fusion` is taken.
    """

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, Any]] = {}
        self.images: dict[str, list[bytes]] = {}
        self.queries: list[dict[str, object]] = []
        self.report: list[dict[str, Any]] = [{"documents": 0, "in_step": True}]
        self.rebuild: list[dict[str, Any]] = [{"state": "done", "points": 3, "seconds": 0.5}]
        self.change: list[dict[str, Any] | None] = []
        self.asked: list[str] = []
        self.refuse: dict[str, tuple[int, str]] = {}
        self.waited: list[bool] = []
        self.feedback: list[tuple[str, ...]] = []
        self.kept: dict[str, list[dict[str, Any]]] = {"events": [], "feedback": []}
        self.confident = False
        self.knows_fusion = True
        self.busy = 0
        self._lock = threading.Lock()

    def __call__(self, model: str, columns: dict[str, list[bytes]], parameters: dict[str, object]) -> list[bytes]:
        with self._lock:
            if model == "catalogue":
                return [json.dumps(self._command(json.loads(columns["command"][0]))).encode()]
            if model == "feedback":
                self.feedback.append(tuple(column[0].decode() for column in columns.values()))
                return [b'{"status": "recorded", "message": "recorded"}']
            if model == "product_index":
                self.waited.append(bool(parameters.get("wait")))
                rows = zip(columns["product"], columns["image_bytes"], columns["query_text"], strict=True)
                return [json.dumps(receipt).encode() for receipt in self._index_rows(list(rows))]
            self.queries.append({"model": model, **parameters})
            rows = max(map(len, columns.values()))
            images, texts = (columns.get(name, [b""] * rows) for name in ("image_bytes", "query_text"))
            return [json.dumps(self._match(*row, parameters)).encode() for row in zip(images, texts, strict=True)]

    def _index_rows(self, rows: list[tuple[bytes, bytes, bytes]]) -> list[dict[str, Any]]:
        receipts: list[dict[str, Any]] = []
        for data, *_ in rows:
            self._check(json.loads(data).get("id"))
        while rows:
            data, photo, text = rows.pop(0)
            product, photos = json.loads(data), [photo] if photo else []
            while rows and json.loads(rows[0][0]) == {"image_of": product["id"]}:
                photos.append(rows.pop(0)[1])
            receipts += [self._index(product, photos, text)] * max(1, len(photos))
        return receipts

    def _check(self, product_id: str) -> None:
        if product_id in self.refuse:
            status, message = self.refuse[product_id]
            raise RefusedError(status, grpc.StatusCode.INVALID_ARGUMENT, f"in ensemble 'product_index', {message}")

    def _index(self, product: dict[str, Any], photos: list[bytes], text: bytes) -> dict[str, Any]:
        product_id = product["id"]
        digest = content_hash(product, photos, text.decode())
        before = self.entries.get(product_id)
        status = "created" if before is None else "unchanged" if before["content_hash"] == digest else "updated"
        rev = 1 if before is None else before["rev"] + (status == "updated")
        self.entries[product_id] = {
            "id": product_id,
            "rev": rev,
            "content_hash": digest,
            "query_text": text.decode(),
            "updated_at": "2026-11-21T04:00:00+00:00",
            "product": product,
        }
        if photos:
            key = photos_digest(photos).hex()
            self.images[key] = photos
            self.entries[product_id]["image_sha256"] = key
        return {"id": product_id, "rev": rev, "status": status}

    def _match(self, image: bytes, text: bytes, parameters: dict[str, object]) -> dict[str, Any]:
        """The same photo comes first, then labels that the words name, then ids in order.

        The fusion `words` does not look at photos, `vector` does not look at words.
        """
        if image == b"not a photo":
            raise RefusedError(400, grpc.StatusCode.INVALID_ARGUMENT, "image: not a photo in a known format")
        if text == b"???":
            raise RefusedError(400, grpc.StatusCode.INVALID_ARGUMENT, "text: expected words")
        fusion = parameters.get("fusion")
        if fusion and not self.knows_fusion:
            raise RefusedError(400, grpc.StatusCode.INVALID_ARGUMENT, "parameter `fusion` is not known here")
        image, text = b"" if fusion == "words" else image, b"" if fusion == "vector" else text
        top_k = int(str(parameters.get("top_k", 10)))
        digest = hashlib.sha256(image).hexdigest()

        def distance(key: str) -> tuple[bool, bool, str]:
            entry = self.entries[key]
            label = str(entry["product"].get("label", "")).lower()
            return entry.get("image_sha256") != digest, not label or label not in text.decode(), key

        keys = sorted(self._fitting(json.loads(str(parameters.get("filter", "{}")))), key=distance)
        matches = [
            {"rank": rank, "product_id": key, "score": 1 / rank, "product": self.entries[key]["product"]}
            for rank, key in enumerate(keys[:top_k], start=1)
        ]
        answer: dict[str, Any] = {"query_id": "q", "encoder": "fake@1", "matches": matches}
        if self.confident:
            likely = bool(keys) and not all(distance(keys[0])[:2])
            for place, match in enumerate(matches):
                match["confidence"] = 0.05 if place else 0.9 if likely else 0.2
            answer["outcome"] = "matched" if likely else "not_stocked"
            if b"tiger" in text:
                answer["repaired"] = {"tiger": "tee"}
        return answer

    def _command(self, command: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = getattr(self, f"_{command.pop('operation')}")(**command)
        return answer

    def _get(self, ids: list[str]) -> dict[str, Any]:
        found = [self.entries[key] for key in ids if key in self.entries]
        if not found:
            raise RefusedError(404, grpc.StatusCode.NOT_FOUND, f"get: none of the {len(ids)} products is there")
        return {"products": found, "unknown": [key for key in ids if key not in self.entries]}

    def _list(self, after: str, limit: int, filter: dict[str, Any] | None = None) -> dict[str, Any]:  # noqa: A002
        keys = [key for key in sorted(self._fitting(filter)) if key > after]
        page = keys[:limit]
        return {"products": [self.entries[key] for key in page], "next": page[-1] if len(keys) > limit else None}

    _export = _list

    def _images(self, digests: list[str]) -> dict[str, Any]:
        """The photos of one product in each answer."""
        first, *left = digests
        return {
            "images": {first: [base64.b64encode(photo).decode() for photo in self.images[first]]},
            "unknown": [],
            "left": left,
        }

    def _events(self, collection: str, after: str, since: int, limit: int = 1) -> dict[str, Any]:
        left = [event for event in self.kept[collection] if event["id"] > after]
        return {"events": left[:limit], "next": left[0]["id"] if len(left) > limit else None}

    def _forget(self, person: str) -> dict[str, Any]:
        removed = {}
        for name, events in self.kept.items():
            stay = [event for event in events if event.get("person") != person]
            removed[name], self.kept[name] = len(events) - len(stay), stay
        return {"removed": removed}

    def _count(self, filter: dict[str, Any] | None = None) -> dict[str, Any]:  # noqa: A002
        return {"count": len(self._fitting(filter))}

    def _hashes(self, ids: list[str]) -> dict[str, Any]:
        return {"hashes": {key: self.entries[key]["content_hash"] for key in ids if key in self.entries}}

    def _update(self, products: list[dict[str, Any]], wait: bool) -> dict[str, Any]:
        self.waited.append(wait)
        results: list[dict[str, Any]] = []
        for update in products:
            entry = self.entries.get(update["id"])
            if entry is None:
                results.append({"id": update["id"], "error": "NOT_FOUND", "message": "not in the catalogue"})
                continue
            merged = {**entry["product"], **update}
            entry["product"] = {name: value for name, value in merged.items() if value is not None}
            stale = [name for name in update if name == "name"]
            results.append(
                {"id": update["id"], "rev": 2, "status": "updated", **({"stale_words": stale} if stale else {})}
            )
        return {"updated": len(results), "results": results}

    def _delete(
        self,
        wait: bool,
        ids: list[str] | None = None,
        filter: dict[str, Any] | None = None,  # noqa: A002
    ) -> dict[str, Any]:
        """At most two products at a time go by filter."""
        self.waited.append(wait)
        keys = self._fitting(filter)[:2] if filter is not None else [key for key in ids or [] if key in self.entries]
        if ids and not keys:
            raise RefusedError(404, grpc.StatusCode.NOT_FOUND, f"delete: none of the {len(ids)} products is there")
        for key in keys:
            del self.entries[key]
        return {"deleted": len(keys), "more": filter is not None and len(keys) == 2}

    def _verify(self, repair: bool, **continued: object) -> dict[str, Any]:
        self._answer_if_free()
        if "continue" not in continued:
            return {"done": False, "report": {}, "continue": {"at": 1}}
        report = self.report.pop(0) if len(self.report) > 1 else self.report[0]
        return {"done": True, "report": report, "continue": None}

    def _rebuild(self) -> dict[str, Any]:
        return {"rebuild": {"state": "running", "stage": "starting"}}

    def _reindex(self, encoder: str) -> dict[str, Any]:
        self.asked.append(encoder)
        return {"reindex": self.change.pop(0)}

    def _rollback(self) -> dict[str, Any]:
        return self._reindex("before")

    def _answer_if_free(self) -> None:
        if self.busy:
            self.busy -= 1
            raise RefusedError(503, grpc.StatusCode.UNAVAILABLE, "the owner of the index does not answer; try again")

    def _status(self) -> dict[str, Any]:
        self._answer_if_free()
        status: dict[str, Any] = {
            "products": len(self.entries),
            "rebuild": self.rebuild.pop(0) if len(self.rebuild) > 1 else self.rebuild[0],
        }
        if self.change:
            status["reindex"] = self.change.pop(0) if len(self.change) > 1 else self.change[0]
            if status["reindex"] is None:
                raise RefusedError(503, grpc.StatusCode.UNAVAILABLE, "starting again")
        return status

    def _drop(self, confirm: str) -> dict[str, Any]:
        if confirm != "products":
            raise RefusedError(400, grpc.StatusCode.INVALID_ARGUMENT, "drop: send the name of the collection")
        self.entries.clear()
        return {"dropped": 0}

    def _fitting(self, product_filter: dict[str, Any] | None) -> list[str]:
        wanted = (product_filter or {}).items()
        return [key for key, entry in self.entries.items() if wanted <= entry["product"].items()]


@contextmanager
def product_server() -> Iterator[tuple[ProductServer, str]]:
    """Serve on a port of the loopback; yield the server and its `host:port`."""
    server = ProductServer()
    with http_server(server) as url:
        yield server, url
