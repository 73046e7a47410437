"""Thin clients of a Product Match server, and the `product-match` command."""

from product_match_client.answers import Match, MatchResult, Receipt
from product_match_client.async_client import AsyncProductMatchClient
from product_match_client.client import ProductMatchClient
from product_match_client.options import MatchOptions
from product_match_client.requests import ProductRow, Query

__all__ = [
    "AsyncProductMatchClient",
    "Match",
    "MatchOptions",
    "MatchResult",
    "ProductMatchClient",
    "ProductRow",
    "Query",
    "Receipt",
]
