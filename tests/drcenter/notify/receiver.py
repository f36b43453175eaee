"""A real HTTP server that takes what channels send, and can be slow, broken or silent."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = 200
        self.drip = threading.Event()
        self.released = threading.Event()
        self.messages = []
        self.calls = 0
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.released.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        """A client that went away is what some tests want."""


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self):
        self.server.calls += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.drip.is_set():
            self.drip()
            return
        if self.server.status == 200:
            self.server.messages.append(json.loads(body) | {"path": self.path})
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def drip(self):
        """One byte of an endless header at a time: no read ever times out."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not self.server.released.wait(0.2):
            self.wfile.write(b"x")

    def log_message(self, *_):
        pass
