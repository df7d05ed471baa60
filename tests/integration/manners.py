"""A small HTTP server with every kind of bad manners, for load generators."""

import asyncio
import itertools
import re
import socket
import struct
import threading
from contextlib import closing, suppress


class Manners:
    """An HTTP server in a thread; the path says how it behaves."""

    def __init__(self) -> None:
        self.count = itertools.count()
        self.received: list[tuple[str, str]] = []
        """Head and body of each request."""
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self.thread.start()
        assert self.ready.wait(10)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(timeout=10)

    async def _serve(self) -> None:
        self.loop, self.stop = asyncio.get_running_loop(), asyncio.Event()
        async with await asyncio.start_server(self._answer, sock=self.listener):
            self.ready.set()
            await self.stop.wait()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # ab leaves connections without a request, and whatever it had open when it was killed.
        with suppress(asyncio.IncompleteReadError, ConnectionError), closing(writer):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            sent = await reader.readexactly(int(length[1])) if length else b""
            self.received.append((head.decode(), sent.decode()))
            _, behaviour, *argument = head.split()[1].decode().split("/")
            number = next(self.count)
            if behaviour == "sleep":
                await asyncio.sleep(float(argument[0]))
            if behaviour == "reset" and number % 4 == 3:
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, linger
                )
                writer.transport.abort()
                return
            if behaviour == "garbage":
                writer.write(b"220 mail.example.org ESMTP\r\n")
                return
            if behaviour == "half":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhel")
                return
            if behaviour == "endless":  # as HTTP/1.0 has it: the end of the connection is the end
                writer.write(b"HTTP/1.0 200 OK\r\n\r\nhello\n")
                return
            if behaviour == "head":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
                return
            if behaviour != "close":
                status = "503 Busy" if behaviour == "error" and number % 2 else "200 OK"
                body = b"x" * (5 + number % 2) if behaviour == "length" else b"hello\n"
                answer = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(answer.encode() + body)
                await writer.drain()
