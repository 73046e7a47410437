"""A web server on the loopback that hands out photos, redirects and trouble."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


class PhotoHost:
    """Answers by path; remembers what was asked, in order."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.raw: list[str] = []
        self.hosts: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.busy = 0

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        self.raw.append(request.raw_path)
        self.hosts.append(request.host)
        self.headers.append(dict(request.headers))
        if request.path == "/busy" and self.busy > 0:
            self.busy -= 1
            return web.Response(status=503)
        if request.path == "/to":
            return web.Response(status=302, headers={"Location": request.query["where"]})
        if request.path == "/loop":
            return web.Response(status=301, headers={"Location": "/loop"})
        if request.path == "/nowhere":
            return web.Response(status=302)
        if request.path == "/endless":
            answer = web.StreamResponse()
            await answer.prepare(request)
            try:
                while True:
                    await answer.write(bytes(1 << 20))
            except ConnectionError:
                return answer
        if request.path == "/large":
            return web.Response(headers={"Content-Length": str(1 << 40)})
        if request.path == "/status":
            return web.Response(status=int(request.query["code"]))
        if request.path == "/packed":
            body = {"gzip": gzip.compress(b"photo"), "bomb": gzip.compress(bytes(30 << 20))}.get(request.query["as"])
            coded = "gzip" if body or request.query["as"] == "broken" else request.query["as"]
            return web.Response(body=body or b"photo", headers={"Content-Encoding": coded})
        return web.Response(body=b"" if request.path == "/empty" else b"photo")


@asynccontextmanager
async def photo_host() -> AsyncIterator[tuple[PhotoHost, int]]:
    """Serve on a port of the loopback; yield the host and its port."""
    host = PhotoHost()
    app = web.Application()
    app.router.add_get("/{path:.*}", host._answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port: int = site._server.sockets[0].getsockname()[1]
    try:
        yield host, port
    finally:
        await runner.cleanup()
