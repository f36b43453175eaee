"""A real HTTP server in front of an S3 server that can be slow, overloaded, forgetful or gone."""

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

SLOW_DOWN = (503, "SlowDown")
DENIED = (403, "AccessDenied")
REVOKED = (403, "InvalidAccessKeyId")
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "expect", "content-length", "server", "date"}


@dataclass
class Fault:
    """What happens to requests that `matches` picks, after the first `after` of them, `times` times.

    `kind`: "status" answers with `status` and does nothing; "drop" closes without an answer; "lose" does
    what was asked and then closes without an answer; "cut" sends half of the answer; "slow" waits first.
    """

    kind: str
    method: str = ""
    query: str = ""
    status: tuple[int, str] = SLOW_DOWN
    after: int = 0
    times: int = 1_000_000
    seconds: float = 0
    seen: int = field(default=0, init=False)

    def strikes(self, method: str, path: str) -> bool:
        if self.method not in ("", method) or self.query not in path:
            return False
        self.seen += 1
        return self.after < self.seen <= self.after + self.times


class FaultyServer:
    """Passes requests on to the server at `backend`, except where a fault says otherwise."""

    def __init__(self, backend: int) -> None:
        self.backend = backend
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.struck = 0
        self._lock = threading.Lock()
        self._server = _Quiet(("127.0.0.1", 0), self._handler())
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> "FaultyServer":
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, kind: str, method: str = "", query: str = "", **more: Any) -> Fault:
        fault = Fault(kind, method, query, **more)
        self.faults.append(fault)
        return fault

    def choose(self, method: str, path: str) -> Fault | None:
        with self._lock:
            self.requests.append(f"{method} {path}")
            struck = [fault for fault in self.faults if fault.strikes(method, path)]
            self.struck += bool(struck)
        return struck[0] if struck else None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(_Handler):
            choose = staticmethod(server.choose)
            backend = server.backend

        return Handler


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that closes its connection is nothing to report."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    choose: Callable[[str, str], Fault | None]
    backend: int

    def log_message(self, format: str, *arguments: Any) -> None:
        return

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.choose(self.command, self.path)
        if fault is None:
            return self._send(*self._forwarded(body))
        if fault.kind == "status":
            return self._refuse(*fault.status)
        if fault.kind == "slow":
            time.sleep(fault.seconds)
            return self._send(*self._forwarded(body))
        if fault.kind in ("lose", "cut"):
            answer = self._forwarded(body)
            if fault.kind == "cut":
                self._send(*answer, cut=True)
        self.close_connection = True
        return None

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = _serve

    def _forwarded(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.backend, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
            size = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
            return answer.status, [*kept, ("Content-Length", size or "0")], content
        finally:
            connection.close()

    def _send(self, status: int, headers: list[tuple[str, str]], content: bytes, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
            self.wfile.flush()

    def _refuse(self, status: int, code: str) -> None:
        # As Amazon does, it names the access key in the answer.
        text = f"<Error><Code>{code}</Code><Message>no</Message><AWSAccessKeyId>AKIDtestaccesskey</AWSAccessKeyId></Error>"
        content = text.encode() if code and self.command != "HEAD" else b""
        self._send(
            status, [("Content-Type", "application/xml"), ("Content-Length", str(len(content)))], content
        )
