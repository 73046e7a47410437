"""A server for the load generator: HTTP/1.1 that answers whatever it is told to."""

from __future__ import annotations

import asyncio
import threading

from product_match_client.endpoints import parse_endpoint

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
STATISTICS = b'{"model_stats": []}'
REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"


class HttpServer:
    """Answers every request with the next of `answers`; b"" closes the connection, None says nothing."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.bodies = []
        self.in_flight = 0
        self.most_in_flight = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.endpoint = parse_endpoint(f"http://127.0.0.1:{port}")
        return self

    async def __aexit__(self, *_):
        self._server.close()

    async def _serve(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET "):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(STATISTICS), STATISTICS))
                    break
                length = int(head.lower().split(b"\r\ncontent-length: ")[1].split(b"\r\n")[0])
                self.bodies.append(await reader.readexactly(length))
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
                await asyncio.sleep(0)
                self.in_flight -= 1
                answer = self.answers[min(len(self.bodies), len(self.answers)) - 1]
                if answer == b"":
                    break
                if answer is not None:
                    # In two parts, as an answer may come.
                    writer.write(answer[:20])
                    await writer.drain()
                    await asyncio.sleep(0)
                    writer.write(answer[20:])
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


class ServerThread:
    """The server above in a thread of its own, for code that runs a loop itself."""

    def __init__(self, *answers):
        self.answers = answers or (ANSWER,)

    def __enter__(self):
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()

        async def serve():
            async with HttpServer(*self.answers) as server:
                self.server = server
                self._stop = asyncio.Event()
                ready.set()
                await self._stop.wait()

        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(serve()))
        self._thread.start()
        ready.wait(10)
        return self.server

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()
