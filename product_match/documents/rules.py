"""Where the rules of a shop are kept: one document each."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Final

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError, ProductMatchError
from product_match.contract.products import point_id
from product_match.contract.rules import Rule, Rules, read_rule
from product_match.documents.mongo_errors import document_errors
from product_match.documents.store import DocumentStore

CHECK_S: Final = 2.0
"""How often a keeper looks for other rules."""

logger = logging.getLogger(__name__)


def read_rules(documents: DocumentStore) -> list[Rule]:
    """Return all rules, in the order of their ids; what another version kept and cannot be read is passed over.

    Raises:
        UnavailableError: The store does not answer.
    """
    with document_errors("reading the rules"):
        kept = list(documents.rules.find({}, batch_size=limits.MAX_RULES + 1))
    rules = []
    for document in sorted(kept, key=lambda document: str(document["_id"])):
        try:
            rules.append(read_rule(document["rule"]))
        except InvalidRequestError as error:
            logger.warning("a rule is passed over: %s", error)
    return rules


def keep_rules(documents: DocumentStore, rules: Sequence[Rule]) -> None:
    """Add rules, or replace those of the same id.

    Raises:
        InvalidRequestError: A rule names a product that is not in the catalogue, or there would be too many.
        UnavailableError: The store does not answer.
    """
    _check_products(documents, rules)
    held = {rule.id for rule in read_rules(documents)}
    if len(held | {rule.id for rule in rules}) > limits.MAX_RULES:
        raise InvalidRequestError(f"rules: more than {limits.MAX_RULES:,}, the limit; remove those that are over")
    with document_errors("keeping rules"):
        for rule in rules:
            documents.rules.update_one({"_id": rule.id}, {"$set": {"rule": dict(rule.document)}}, upsert=True)


def remove_rules(documents: DocumentStore, ids: Sequence[str]) -> list[str]:
    """Remove rules, and return the ids of those that were there.

    Raises:
        UnavailableError: The store does not answer.
    """
    with document_errors("removing rules"):
        return [rule_id for rule_id in ids if documents.rules.delete_one({"_id": rule_id}).deleted_count]


def _check_products(documents: DocumentStore, rules: Sequence[Rule]) -> None:
    named = {product_id: rule.id for rule in rules for product_id in rule.product_ids}
    held = documents.fetch([point_id(product_id) for product_id in named])
    for product_id, rule_id in named.items():
        if point_id(product_id) not in held:
            raise InvalidRequestError(
                f"rule {rule_id}: there is no product with the id {product_id:.80}; name products that are there"
            )


class RulesKeeper:
    """Has the rules of one catalogue ready, and looks for others in a thread."""

    def __init__(self, documents: DocumentStore, *, check_s: float = CHECK_S) -> None:
        """Read the rules; `start` begins to look for others every `check_s` seconds."""
        self._documents = documents
        self._check_s = check_s
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rules", daemon=True)
        self.current = Rules(read_rules(documents))

    def start(self) -> None:
        """Begin in a thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout=self._check_s)

    def refresh(self) -> None:
        """Look for other rules now; those before stay where the store does not answer."""
        try:
            self.current = Rules(read_rules(self._documents))
        except ProductMatchError as error:
            logger.warning("the rules could not be read: %s; those before hold", error)

    def _run(self) -> None:
        while not self._closing.wait(self._check_s):
            self.refresh()
