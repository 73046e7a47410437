"""A server as a load sees it: takes products, answers hashes, and fails as it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence

from product_match.contract.products import content_hash
from product_match_client.answers import Receipt
from product_match_client.requests import ProductRow


class LoadingServer:
    """Keeps products in memory.

    Attributes:
        held: Content hash by product id.
        photos: Photos by product id.
        requests: Ids of each request to index, in order of arrival.
        trouble: Called with the ids of each request before it is taken; may raise, or wait.
    """

    def __init__(self) -> None:
        self.held: dict[str, str] = {}
        self.photos: dict[str, list[bytes]] = {}
        self.requests: list[list[str]] = []
        self.asked: list[list[str]] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.trouble: Callable[[list[str]], None] = lambda ids: None
        self.hash_trouble: Callable[[], None] = lambda: None

    async def index_batch(self, rows: Sequence[ProductRow], *, wait: bool = False) -> list[Receipt]:
        ids = [str(row.product["id"]) for row in rows]
        self.requests.append(ids)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(0)
            self.trouble(ids)
            return [self._take(row) for row in rows]
        finally:
            self.in_flight -= 1

    def _take(self, row: ProductRow) -> Receipt:
        product_id = str(row.product["id"])
        photos = [photo for photo in row.photos if isinstance(photo, bytes)]
        product = json.loads(json.dumps(row.product))
        digest = content_hash(product, photos, row.text or "")
        before = self.held.get(product_id)
        self.held[product_id] = digest
        self.photos[product_id] = photos
        status = "unchanged" if before == digest else "updated" if before else "created"
        return Receipt(product_id=product_id, rev=1, status=status)

    async def hashes(self, product_ids: Sequence[str]) -> Mapping[str, str]:
        self.asked.append(list(product_ids))
        await asyncio.sleep(0)
        self.hash_trouble()
        return {product_id: self.held[product_id] for product_id in product_ids if product_id in self.held}
