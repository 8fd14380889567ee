"""A process-compose that starts nothing: it holds the stack's socket until it is told to end."""

from __future__ import annotations

import sys
from pathlib import Path

PROGRAM = """#!PYTHON
import http.server, json, os, signal, socket, socketserver, sys

words = sys.argv[1:]
if "version" in words:
    print("v1.120.0")
    sys.exit()
if any(word.startswith(("--dry-run", "--help")) for word in words):
    for file in os.environ["PC_CONFIG_FILES"].split(","):
        if "damaged" in open(file).read():
            sys.exit("12:00:00 FTL cannot load it error=damaged")
    sys.exit()
path = os.environ["PC_SOCKET_PATH"]
ready, begun = os.pipe()
if os.fork():
    os._exit(os.read(ready, 1) != b"1")
os.setsid()
# By this process: its client is told the process that listens (SO_PEERCRED).
server = socket.socket(socket.AF_UNIX)
if os.path.exists(path):
    os.unlink(path)
server.bind(path)
server.listen()
with open("STARTS", "a") as starts:
    starts.write(json.dumps({"pid": os.getpid(), "env": dict(os.environ)}) + "\\n")

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "12")
        self.end_headers()
        self.wfile.write(b'{"data": []}')
    def log_message(self, *_):
        pass

def end(*_):
    os.unlink(path)
    os._exit(0)

signal.signal(signal.SIGTERM, end)
for stream in (0, 1, 2):
    os.dup2(os.open(os.devnull, os.O_RDWR), stream)
os.write(begun, b"1")
while True:
    connection, _ = server.accept()
    try:
        Handler(connection, ("stack", 0), None)
    except Exception:
        pass
    connection.close()
"""


def install(folder: Path) -> tuple[Path, Path]:
    """Returns the program, and the file with one JSON line for each start."""
    folder.mkdir(parents=True, exist_ok=True)
    starts = folder / "starts"
    starts.touch()
    program = folder / "process-compose"
    program.write_text(PROGRAM.replace("PYTHON", sys.executable).replace("STARTS", str(starts)))
    program.chmod(0o755)
    return program, starts
