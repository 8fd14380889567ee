"""`python -m windtunnel.check.server FD`: imports Airflow once, and parses each file in a child.

It runs on the project's interpreter. FD is a socket: one line of JSON for each question and each
answer. When the other side is gone, it ends its children and itself.
"""

from __future__ import annotations

import collections
import gc
import json
import platform
import selectors
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from windtunnel.check import child, warm
from windtunnel.check.child import Child
from windtunnel.project import record
from windtunnel.system import procfs

PIECE = 64 * 1024
#: A child that was told to say where it hangs ends within this time, or is killed.
DYING_SECONDS = 1.0


class Server:
    """Answers questions until there are no more."""

    def __init__(self, channel: socket.socket, options: dict[str, Any]) -> None:
        self._channel = channel
        self._options = options
        self._selector = selectors.DefaultSelector()
        self._waiting: collections.deque[dict[str, Any]] = collections.deque()
        self._children: dict[int, Child] = {}
        self._asked = bytearray()
        self._open = True

    def load(self) -> None:
        """Import Airflow, and say which one."""
        start = time.perf_counter()
        from airflow import __version__
        from airflow.configuration import conf

        from windtunnel.check.answers import Objects

        warm.warm_up()
        self._objects = Objects([Path(each) for each in self._options["objects"]])
        # Of the whole process, beside `dagbag_import_timeout`, which Airflow itself watches.
        self._limit = conf.getfloat("dag_processor", "dag_file_processor_timeout")
        # What lives now is not looked at again, so that the children share its memory.
        gc.collect()
        gc.freeze()
        self._say(
            {
                "airflow": __version__,
                "python": platform.python_version(),
                "seconds": time.perf_counter() - start,
                "secrets_backend": conf.get("secrets", "backend", fallback="") or "",
            }
        )

    def serve(self) -> None:
        self._selector.register(self._channel, selectors.EVENT_READ, None)
        while self._open or self._waiting or self._children:
            while self._waiting and len(self._children) < self._options["jobs"]:
                self._start(self._waiting.popleft())
            for key, _ in self._selector.select(self._next_deadline()):
                if key.data is None:
                    self._hear()
                elif key.data.pid in self._children:
                    self._look(key.data, key.fd)
            for each in list(self._children.values()):
                if time.monotonic() >= each.deadline:
                    if each.is_late:
                        self._finish(each)
                    else:
                        each.abort(DYING_SECONDS)

    def stop(self) -> None:
        for each in list(self._children.values()):
            self._end(each)

    def _say(self, answer: dict[str, Any]) -> None:
        self._channel.sendall(json.dumps(answer).encode() + b"\n")

    def _hear(self) -> None:
        data = self._channel.recv(PIECE)
        if not data:
            # Nobody waits for an answer any more.
            self._selector.unregister(self._channel)
            self._open = False
            self._waiting.clear()
            self.stop()
            return
        self._asked += data
        *lines, rest = bytes(self._asked).split(b"\n")
        self._asked = bytearray(rest)
        for question in map(json.loads, lines):
            if "folders" in question:
                self._say({"id": question["id"], **warm.listed(question["folders"])})
            else:
                self._waiting.append(question)

    def _next_deadline(self) -> float | None:
        if not self._children:
            return None
        first = min(each.deadline for each in self._children.values())
        return max(0.0, first - time.monotonic())

    def _start(self, question: dict[str, Any]) -> None:
        def parse(answer: int) -> None:
            self._selector.close()
            self._channel.close()
            from windtunnel.check.parse import parse

            file, bundle = question["file"], question["bundle"]
            parse(file, bundle, self._options["root"], self._objects, answer)

        new = child.fork(question["id"], self._limit, parse)
        self._children[new.pid] = new
        for descriptor in new.descriptors:
            self._selector.register(descriptor, selectors.EVENT_READ, new)

    def _look(self, each: Child, descriptor: int) -> None:
        each.read()
        if descriptor == each.handle or each.has_answered:
            self._finish(each)
            return
        for closed in each.closed & self._selector.get_map().keys():
            self._selector.unregister(closed)

    def _finish(self, each: Child) -> None:
        self._say({"id": each.number, "facts": self._end(each)})

    def _end(self, each: Child) -> dict[str, Any]:
        del self._children[each.pid]
        for descriptor in {*each.descriptors} & self._selector.get_map().keys():
            self._selector.unregister(descriptor)
        facts = each.end()
        child.end_orphans(set(self._children))
        return facts


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    options = json.loads(channel.makefile("rb", buffering=0).readline())
    # Ctrl-C is the other side's affair: it closes the socket.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    procfs.become_subreaper()
    record.enter()
    server = Server(channel, options)
    server.load()
    try:
        server.serve()
    except BrokenPipeError:
        pass
    finally:
        server.stop()
        # The other side deletes it too, unless it was killed.
        shutil.rmtree(options["state"], ignore_errors=True)


if __name__ == "__main__":
    main()
