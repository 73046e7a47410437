"""Transports that answer from a function: what httpx's MockTransport is to httpx."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from product_match_client.requests import InferRequest

Answering = Callable[[InferRequest], Sequence[bytes]]


class FakeTransport:
    """Answers each request with a function; remembers what came."""

    def __init__(self, answer: Answering, ready: Sequence[bool] = (True,)) -> None:
        self.requests: list[InferRequest] = []
        self.closed = False
        self._answer = answer
        self._ready = list(ready)

    def infer(self, request: InferRequest) -> Sequence[bytes]:
        self.requests.append(request)
        return self._answer(request)

    def is_ready(self) -> bool:
        return self._ready.pop(0) if len(self._ready) > 1 else self._ready[0]

    def close(self) -> None:
        self.closed = True


class FakeAsyncTransport:
    """The asyncio twin."""

    def __init__(self, answer: Answering, ready: Sequence[bool] = (True,)) -> None:
        self._twin = FakeTransport(answer, ready)

    @property
    def requests(self) -> list[InferRequest]:
        return self._twin.requests

    @property
    def closed(self) -> bool:
        return self._twin.closed

    async def infer(self, request: InferRequest) -> Sequence[bytes]:
        return self._twin.infer(request)

    async def is_ready(self) -> bool:
        return self._twin.is_ready()

    async def close(self) -> None:
        self._twin.close()
