"""A debugger of few words: the Debug Adapter Protocol over a socket (microsoft.github.io/debug-adapter-protocol)."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any


class Debugger:
    def __init__(self, port: int, timeout: float = 60.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.stream = self.socket.makefile("rb")
        self.number = 0
        self.seen: list[dict[str, Any]] = []

    def send(self, command: str, **arguments: Any) -> int:
        """Sends a request; returns its number."""
        self.number += 1
        message = {
            "seq": self.number,
            "type": "request",
            "command": command,
            "arguments": arguments,
        }
        body = json.dumps(message).encode()
        self.socket.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        return self.number

    def _next(self) -> dict[str, Any]:
        length = 0
        while line := self.stream.readline().strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        if not length:
            raise EOFError("the debugger's connection is closed")
        return dict(json.loads(self.stream.read(length)))

    def _until(self, **fields: Any) -> dict[str, Any]:
        def fits(message: dict[str, Any]) -> bool:
            return all(message.get(name) == value for name, value in fields.items())

        while not (found := next(filter(fits, self.seen), None)):
            self.seen.append(self._next())
        self.seen.remove(found)
        return found

    def event(self, name: str) -> dict[str, Any]:
        """The next event of that name."""
        return dict(self._until(type="event", event=name).get("body") or {})

    def answer(self, number: int) -> dict[str, Any]:
        found = self._until(type="response", request_seq=number)
        assert found["success"], found
        return dict(found.get("body") or {})

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        return self.answer(self.send(command, **arguments))

    def attach(self, file: Path, line: int) -> None:
        """Attach with one breakpoint, and let the task go on."""
        self.ask("initialize", adapterID="test", pathFormat="path")
        attach = self.send("attach", justMyCode=False)
        self.event("initialized")
        self.ask("setBreakpoints", source={"path": str(file)}, breakpoints=[{"line": line}])
        self.ask("configurationDone")
        self.answer(attach)

    def value(self, expression: str, thread: int) -> str:
        """The value of an expression where the thread has stopped."""
        frame = self.ask("stackTrace", threadId=thread)["stackFrames"][0]
        return str(self.ask("evaluate", expression=expression, frameId=frame["id"])["result"])

    def close(self) -> None:
        self.stream.close()
        self.socket.close()
