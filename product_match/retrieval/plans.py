"""From requests to the rows that are answered: read, composed, and with what examples and rules add to them."""

from __future__ import annotations

import logging
from dataclasses import replace

from product_match.contract.errors import ProductMatchError, in_row, unforeseen
from product_match.contract.rules import Rules
from product_match.retrieval.composition import HeldVectors
from product_match.retrieval.rows import RowQuery, read_row
from product_match.retrieval.shape import ruled
from product_match.retrieval.terms import check_terms, composed
from product_match.triton.batches import BatchRequest
from product_match.words.reading import QueryReader

LOGGER = logging.getLogger(__name__)

Plan = list[RowQuery] | ProductMatchError
"""The rows of a request, or what is wrong with it."""


def plan_of(request: BatchRequest, reader: QueryReader) -> Plan:
    """Return the rows of a request; with `compose` one, whose terms they are."""
    number = 0
    try:
        check_terms(request.parameters, request.rows)
        rows = []
        for number in range(request.rows):
            rows.append(read_row(request, number, reader))
        if not request.parameters.get("compose"):
            return rows
        return [composed(rows, request.name, request.parameters, reader)]
    except ProductMatchError as error:
        return error
    except Exception:
        return in_row(unforeseen(LOGGER, "a query could not be read"), number, request.rows)


def known(rows: list[RowQuery], held: HeldVectors) -> Plan:
    """Return rows with the vectors of the products that they name, or what is wrong with these."""
    try:
        return [replace(row, examples=row.examples.known(held)) if row.examples else row for row in rows]
    except ProductMatchError as error:
        return error


def with_rules(row: RowQuery, rules: Rules) -> RowQuery:
    """Return a row with what the shop's rules say of its words and its filter."""
    found = rules.of(row.text, row.filter) if rules else ()
    shape = ruled(row.shape, found)
    return row if shape is row.shape else replace(row, shape=shape, rules=tuple(rule.id for rule in found))
