"""What a catalogue holds after a load, and how two of them differ."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

LEAST_COSINE: Final = 0.9999
"""Another batch size changes the last digits of an embedding, and no more."""

SAME_FIELDS: Final = ("product", "content_hash", "encoder", "vectors", "image_sha256", "query_text", "rev", "deleted")
EMBEDDINGS: Final = ("image_embeds", "text_embeds")
VERIFY_WRONG: Final = ("wrong_rev", "wrong_vectors", "wrong_encoder", "orphaned")
MAX_EXAMPLES: Final = 5


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Everything that can be seen of a catalogue.

    Attributes:
        documents: The documents of each product id, read from the document store itself; one each, if all is well.
        exported: The lines of `product-match export`, by product id.
        count: What `product-match count` says.
        verify: The report of `product-match verify`.
        answers: The best match for a product's own photo, and its receipt, for some of the products.
        photos: SHA-256 of the photos that the document store keeps.
    """

    documents: Mapping[str, list[Mapping[str, Any]]]
    exported: Mapping[str, list[Mapping[str, Any]]]
    count: int
    verify: Mapping[str, Any]
    answers: Mapping[str, str]
    photos: frozenset[str]


@dataclass(kw_only=True)
class Differences:
    """How a catalogue differs from that of an uninterrupted load; all zeros where it does not.

    Attributes:
        lost: Products that are missing from documents, export, count or vector index.
        duplicated: Products that are there more than once, or points without a product.
        pending: Products that the vector index has not taken.
        wrong: Products that are there, but not as they should be; also records that the client rejected.
        examples: What was found, in words.
    """

    lost: int = 0
    duplicated: int = 0
    pending: int = 0
    wrong: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def none(self) -> bool:
        """True if there is no difference."""
        return not (self.lost or self.duplicated or self.pending or self.wrong)

    def note(self, kind: str, number: int, example: str) -> None:
        """Count `number` more of `kind`."""
        if number:
            setattr(self, kind, getattr(self, kind) + number)
            if len(self.examples) < MAX_EXAMPLES:
                self.examples.append(f"{kind}: {example}")

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON."""
        return dataclasses.asdict(self)


def compare(expected: Snapshot, found: Snapshot) -> Differences:
    """Compare a catalogue with that of an uninterrupted load."""
    differences = Differences()
    _compare_documents(expected, found, differences)
    _compare_exports(expected, found, differences)
    verify, wanted = found.verify, len(expected.documents)
    differences.note("lost", max(0, wanted - found.count), f"count says {found.count} of {wanted}")
    differences.note("duplicated", max(0, found.count - wanted), f"count says {found.count} of {wanted}")
    differences.note("lost", int(verify.get("missing", 0)), f"verify: {_brief(verify)}")
    differences.note("pending", int(verify.get("pending", 0)), f"verify: {_brief(verify)}")
    for kind in VERIFY_WRONG:
        differences.note("duplicated" if kind == "orphaned" else "wrong", int(verify.get(kind, 0)), _brief(verify))
    surplus = int(verify.get("vectors", 0)) - int(expected.verify.get("vectors", 0))
    differences.note("duplicated", max(0, surplus), f"{surplus} points too many")
    differences.note("lost", max(0, -surplus), f"{-surplus} points too few")
    if not verify.get("in_step", False):
        differences.note("wrong", 1, f"verify says out of step: {_brief(verify)}")
    for product_id, answer in expected.answers.items():
        got = found.answers.get(product_id)
        differences.note("wrong", int(got != answer), f"the photo of {product_id} finds {got}, not {answer}")
    unkept = expected.photos - found.photos
    differences.note("lost", len(unkept), f"{len(unkept)} photos are not kept")
    return differences


def _compare_documents(expected: Snapshot, found: Snapshot, differences: Differences) -> None:
    for product_id, (wanted,) in expected.documents.items():
        held = found.documents.get(product_id, [])
        if not held:
            differences.note("lost", 1, f"no document of {product_id}")
            continue
        differences.note("duplicated", len(held) - 1, f"{len(held)} documents of {product_id}")
        differences.note("pending", int(bool(held[0].get("pending"))), f"{product_id} is pending")
        reason = document_difference(wanted, held[0])
        differences.note("wrong", int(bool(reason)), f"{product_id}: {reason}")
    strange = found.documents.keys() - expected.documents.keys()
    differences.note("duplicated", len(strange), f"documents of {sorted(strange)[:3]}")


def _compare_exports(expected: Snapshot, found: Snapshot, differences: Differences) -> None:
    for product_id, wanted in expected.exported.items():
        lines = found.exported.get(product_id, [])
        if not lines:
            differences.note("lost", 1, f"{product_id} is not exported")
            continue
        differences.note("duplicated", len(lines) - 1, f"{product_id} is exported {len(lines)} times")
        differences.note("wrong", int(lines[0] != wanted[0]), f"{product_id} is exported otherwise")
    strange = found.exported.keys() - expected.exported.keys()
    differences.note("duplicated", len(strange), f"exported: {sorted(strange)[:3]}")


def document_difference(wanted: Mapping[str, Any], held: Mapping[str, Any]) -> str:
    """Say how a document differs from the one it should be; nothing where it does not."""
    for name in SAME_FIELDS:
        if wanted.get(name) != held.get(name):
            return f"{name} is {held.get(name)!r:.80}, not {wanted.get(name)!r:.80}"
    for name in EMBEDDINGS:
        if (name in wanted) != (name in held):
            return f"{name} is {'missing' if name in wanted else 'too many'}"
        if name in wanted:
            cosine = _cosine(wanted[name], held[name])
            if not cosine >= LEAST_COSINE:
                return f"{name} has a cosine of {cosine:.6f} with what it should be"
    return ""


def by_product(entries: Iterable[Mapping[str, Any]], key: str) -> dict[str, list[Mapping[str, Any]]]:
    """Group documents or lines by product id."""
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        grouped.setdefault(str(entry[key]), []).append(entry)
    return grouped


def check_summary(summary: Mapping[str, Any], products: int, differences: Differences) -> None:
    """Compare what the last, undisturbed run of the client said: every product is held already, as it is."""
    said = Counter({name: int(summary.get(name, 0)) for name in ("created", "updated", "unchanged", "rejected")})
    for name, kind in (("created", "lost"), ("updated", "wrong"), ("rejected", "wrong")):
        differences.note(kind, said[name], f"the same command once more: {said[name]} {name}")
    missing = products - sum(said.values())
    differences.note("wrong", abs(missing), f"the same command once more: {sum(said.values())} of {products} records")


def _cosine(left: bytes, right: bytes) -> float:
    if len(left) != len(right):
        return -1.0
    one, other = np.frombuffer(left, "<f4"), np.frombuffer(right, "<f4")
    return float(one @ other / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-12))


def _brief(report: Mapping[str, Any]) -> str:
    return json.dumps({name: value for name, value in report.items() if value and name != "seconds"})
