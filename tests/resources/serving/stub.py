"""Stands in for ``launch.py`` in tests of the controller: a service that starts at once and says of its models what a file tells it.

Run by path, like ``launch.py``. The guard is the real one.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from resources.serving.endpoint import RUN_VARIABLE, Endpoint
from resources.serving.guard import watch_holders

host, port = sys.argv[3:]
said = Path(os.environ[RUN_VARIABLE]).parents[2] / "says.json"


class Handler(BaseHTTPRequestHandler):
    """Answers GET /models and POST /<model>/predict."""

    def do_GET(self) -> None:
        """Who answers."""
        self.answer(200, {"models": json.loads(said.read_text())})

    def do_POST(self) -> None:
        """Echo the examples, or refuse the model ``bad``."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.answer(400 if "bad" in self.path else 200, {"predictions": body["examples"]})

    def answer(self, status: int, content: object) -> None:
        """Send JSON."""
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if json.loads(said.read_text()) == "die":
    sys.exit("the stub was told to die")
record = Endpoint.read(Path(os.environ[RUN_VARIABLE]))
while record is None:
    record = Endpoint.read(Path(os.environ[RUN_VARIABLE]))
watch_holders(record)
HTTPServer((host, int(port)), Handler).serve_forever()
