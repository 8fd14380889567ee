"""A wire between a worker and the broker that can be cut: forwards, goes silent, or resets.

Stopping to read is what a silent partition looks like to both ends.
Connections stay open and nothing arrives.
After healing, what was under way is delivered, as TCP would by sending again.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any


class TcpProxy:
    """A context manager that listens on a free loopback port (`port`) and forwards to another."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._refuse = False
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> TcpProxy:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def cut(self, *, silent: bool) -> None:
        """Until `heal`: silent stops all traffic, otherwise every connection is reset."""
        self._run(self._cut(silent))

    def heal(self) -> None:
        self._run(self._heal())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._flow = asyncio.Event()
        self._flow.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        self._reset_all()
        work = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)

    async def _cut(self, silent: bool) -> None:
        if silent:
            self._flow.clear()
        else:
            self._refuse = True
            self._reset_all()

    async def _heal(self) -> None:
        self._refuse = False
        self._flow.set()

    def _reset_all(self) -> None:
        for writer in self._open:
            _reset(writer)
        self._open.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuse:
            _reset(writer)
            return
        self._open.add(writer)
        await self._flow.wait()
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            _reset(writer)
            return
        self._open.add(back)
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        self._open -= {writer, back}

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """Copy bytes one way until either end closes. A cut connection neither reads nor writes."""
        try:
            while data := await source.read(65536):
                await self._flow.wait()
                target.write(data)
                await target.drain()
        except OSError:
            pass
        await self._flow.wait()
        target.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN (socket(7), SO_LINGER of zero)."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        try:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            return
    writer.transport.abort()
