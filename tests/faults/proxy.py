"""A TCP proxy between client and server that can be told to misbehave."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

_PIECE = 65_536


class Proxy:
    """Forwards to one server; `address` is the server's URL with the proxy's port.

    Attributes:
        latency_s: delay of every request.
        cuts: how many replies were cut off.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 0)
        self.latency_s = 0.0
        self.cuts = 0
        self._flowing = threading.Event()
        self._flowing.set()
        self._cut: tuple[bytes, int] | None = None
        self._hook: tuple[bytes, Callable[[], None], bool] | None = None
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = self._listen(0)
        self._port = self._listener.getsockname()[1]
        self.address = url.replace(f":{parts.port}", f":{self._port}")

    # --- faults ---------------------------------------------------------------------
    def refuse(self) -> None:
        """The server is gone: no new connection, and the open ones break."""
        listener, self._listener = self._listener, None
        if listener is not None:
            _close(listener)
        self.break_connections()

    def accept(self) -> None:
        """The server is back."""
        if self._listener is None:
            self._listener = self._listen(self._port)

    def hang(self) -> None:
        """Connections are accepted and stay open, and nothing goes through."""
        self._flowing.clear()

    def flow(self) -> None:
        self._flowing.set()

    def cut_reply(self, pattern: bytes, nth: int = 1) -> None:
        """Once: pass the nth request that holds `pattern` to the server, and break off its reply."""
        self._cut = (pattern, nth)

    def before(self, pattern: bytes, hook: Callable[[], None], *, answered: bool = False) -> None:
        """Once: send what precedes the last `pattern` in a request, call `hook`, send the rest.

        With `answered` the hook waits until the server has replied to what precedes.
        """
        self._hook = (pattern, hook, answered)

    def break_connections(self) -> None:
        for end in list(self._open):
            _close(end)

    # --- forwarding -----------------------------------------------------------------
    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._serve, args=[listener], daemon=True).start()
        return listener

    def _serve(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                try:
                    server = socket.create_connection(self._target, timeout=60)
                except OSError:
                    _close(client)
                    continue
                server.settimeout(None)
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _Connection(self, client, server).start()

    def wants_cut(self, request: bytes) -> bool:
        if self._cut is None or self._cut[0] not in request:
            return False
        pattern, left = self._cut
        self._cut = (pattern, left - 1) if left > 1 else None
        return left == 1

    def split(self, request: bytes) -> tuple[bytes, Callable[[], None] | None, bool]:
        """What to send before the hook, if this request has one, and whether to wait for the reply."""
        if self._hook is None or self._hook[0] not in request:
            return b"", None, False
        pattern, hook, answered = self._hook
        self._hook = None
        return request[: request.rindex(pattern)], hook, answered

    def pass_through(self) -> None:
        """Wait as the faults say."""
        time.sleep(self.latency_s)
        self._flowing.wait()


class _Connection:
    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._cutting = False
        self._replied = threading.Event()
        proxy._open |= {client, server}

    def start(self) -> None:
        for work in (self._requests, self._replies):
            threading.Thread(target=self._run, args=[work], daemon=True).start()

    def _run(self, work: Callable[[], None]) -> None:
        with contextlib.suppress(OSError):
            work()
        for end in (self._client, self._server):
            _close(end)
        self._proxy._open -= {self._client, self._server}

    def _requests(self) -> None:
        while request := self._client.recv(_PIECE):
            self._proxy.pass_through()
            self._cutting = self._cutting or self._proxy.wants_cut(request)
            first, hook, answered = self._proxy.split(request)
            if hook is not None:
                self._replied.clear()
                self._server.sendall(first)
                if answered:
                    self._replied.wait(60)
                hook()
            self._server.sendall(request[len(first) :])

    def _replies(self) -> None:
        while reply := self._server.recv(_PIECE):
            self._replied.set()
            self._proxy._flowing.wait()
            if self._cutting:
                self._proxy.cuts += 1
                return
            self._client.sendall(reply)


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def proxied(url: str) -> Iterator[Proxy]:
    """A proxy in front of the server at `url`, gone at the end of the block."""
    proxy = Proxy(url)
    try:
        yield proxy
    finally:
        proxy.flow()
        proxy.refuse()
