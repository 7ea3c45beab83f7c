"""Something between a client and a server that can be slow, or refuse, when a test says so."""

import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress


class Proxy:
    """Passes bytes on to ``port`` of this machine.

    ``delay`` is how long it holds back each piece that a client sends; ``loses`` names a request whose answer gets lost, once.
    """

    def __init__(self, port: int) -> None:
        self.delay = 0.0
        self.refuses = False
        self.loses = b""
        self._lost = False
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more clients."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            if self.refuses:
                return
            with socket.create_connection(("127.0.0.1", self._to), timeout=60) as server:
                back = threading.Thread(target=self._pump, args=(server, client), kwargs={"back": True}, daemon=True)
                back.start()
                self._pump(client, server)
                back.join()

    def _pump(self, source: socket.socket, sink: socket.socket, *, back: bool = False) -> None:
        with suppress(OSError):
            while (piece := source.recv(1 << 16)) and not self.refuses:
                if back and self._lost:
                    self._lost = False
                    break
                if not back and self.loses and self.loses in piece:
                    self.loses, self._lost = b"", True
                if not back and self.delay:
                    time.sleep(self.delay)
                sink.sendall(piece)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy(port: int) -> Generator[Proxy]:
    """A proxy before a port."""
    made = Proxy(port)
    try:
        yield made
    finally:
        made.close()
