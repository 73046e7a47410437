"""The command that shows and changes the shop's rules."""

from __future__ import annotations

from typing import Any

from product_match.catalogue.arguments import Arguments
from product_match.contract.errors import InvalidRequestError, NotFoundError
from product_match.contract.rules import read_rule
from product_match.documents.rules import keep_rules, read_rules, remove_rules
from product_match.documents.store import DocumentStore


def change_rules(documents: DocumentStore, arguments: Arguments) -> dict[str, Any]:
    """Set and remove rules, and return those that there are then.

    Raises:
        InvalidRequestError: A rule is wrong, or names a product that is not there; none is changed then.
        NotFoundError: None of the rules to remove is there.
        UnavailableError: The store does not answer.
    """
    given = arguments.take("set")
    rules = [] if given is None else [read_rule(rule) for rule in _list_of_rules(given)]
    removed = arguments.take("remove")
    arguments.finish()
    if removed is not None and not (isinstance(removed, list) and all(isinstance(name, str) for name in removed)):
        raise InvalidRequestError(f"rules: remove must be a list of rules' ids, got {removed!r:.80}")
    if rules:
        keep_rules(documents, rules)
    gone = remove_rules(documents, removed or [])
    if removed and not gone:
        raise NotFoundError(f"rules: there is no rule with the id {removed[0]:.80}; `rules` alone lists them")
    return {"rules": [dict(rule.document) for rule in read_rules(documents)], "removed": gone}


def _list_of_rules(given: object) -> list[Any]:
    if not isinstance(given, list) or not given:
        raise InvalidRequestError(f"rules: set must be a list of at least one rule, got {given!r:.80}")
    ids = [rule.get("id") for rule in given if isinstance(rule, dict)]
    twice = next((name for name in ids if ids.count(name) > 1), None)
    if twice is not None:
        raise InvalidRequestError(f"rules: the rule {twice!s:.80} stands twice; give each an id of its own")
    return given
