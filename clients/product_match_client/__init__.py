"""Thin clients of a Product Match server, and the `product-match` command."""

from product_match_client.answers import FeedbackReceipt, Match, MatchResult, Receipt
from product_match_client.async_client import AsyncProductMatchClient
from product_match_client.client import ProductMatchClient
from product_match_client.options import MatchOptions
from product_match_client.requests import FeedbackRow, ProductRow, Query

__all__ = [
    "AsyncProductMatchClient",
    "FeedbackReceipt",
    "FeedbackRow",
    "Match",
    "MatchOptions",
    "MatchResult",
    "ProductMatchClient",
    "ProductRow",
    "Query",
    "Receipt",
]
