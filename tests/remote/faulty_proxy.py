"""A proxy before a real server that fails as told: 5xx, cut connections, short bodies, delays, a changed object."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal


@dataclass
class Fault:
    """What goes wrong with requests whose path holds `path`: `times` of them, after the first `after`.

    "error" answers 500; "slow" 503 after `seconds`; "cut" closes without an answer; "short" closes in the middle of
    the body; "call" runs `call` before the request is passed on.
    """

    kind: Literal["error", "slow", "cut", "short", "call", "status"]
    path: str = ""
    method: str = "GET"
    after: int = 0
    times: int = 1
    seconds: float = 0.0
    status: int = 500
    call: Callable[[], object] | None = None
    seen: int = 0

    def due(self, method: str, path: str) -> bool:
        """Whether this request is one of those that fail."""
        if method != self.method or self.path not in path:
            return False
        self.seen += 1
        return self.after < self.seen <= self.after + self.times


@dataclass
class Proxy:
    """A running proxy; `faults` may be changed at any time, `log` has (method, path, range) of all requests."""

    server: ThreadingHTTPServer
    target: tuple[str, int]
    faults: list[Fault] = field(default_factory=list)
    log: list[tuple[str, str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def fault_for(self, method: str, path: str) -> Fault | None:
        """The fault that this request meets."""
        with self.lock:
            due = [fault for fault in self.faults if fault.due(method, path)]
            return due[0] if due else None


def start_proxy(host: str, port: int) -> Proxy:
    """Start a proxy before a server on a free port, in daemon threads."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            proxy.log.append((self.command, self.path, self.headers.get("Range", "")))
            fault = proxy.fault_for(self.command, self.path)
            if fault is not None and fault.kind == "call" and fault.call is not None:
                fault.call()
            if fault is not None and fault.kind == "slow":
                time.sleep(fault.seconds)
            if fault is not None and fault.kind in ("error", "slow", "status"):
                self._send(fault.status if fault.kind == "status" else 503, [], b"no")
                return
            if fault is not None and fault.kind == "cut":
                self.close_connection = True
                return
            link = http.client.HTTPConnection(*proxy.target, timeout=30)
            link.request(self.command, self.path, body or None, dict(self.headers.items()))
            answer = link.getresponse()
            data = answer.read()
            link.close()
            self._send(answer.status, answer.getheaders(), data, cut=fault is not None and fault.kind == "short")

        def _send(self, status: int, headers: list[tuple[str, str]], data: bytes, *, cut: bool = False) -> None:
            self.send_response(status)
            dropped = ("connection", "transfer-encoding", "date", "server", "content-length")
            for name, value in headers:
                if name.lower() not in dropped:
                    self.send_header(name, value)
            length = {name.lower(): value for name, value in headers}.get("content-length", str(len(data)))
            self.send_header("Content-Length", length)
            with suppress(ConnectionError):  # some do not wait
                self.end_headers()
                self.wfile.write(data[: len(data) // 2] if cut else data)
            self.close_connection = self.close_connection or cut

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    proxy = Proxy(server, (host, port))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return proxy
