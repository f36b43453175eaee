"""An application that is paused over HTTP, on a real server."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from drcenter.errors import OperationFailed
from drcenter.systems.control.http import Plugin
from tests.drcenter.systems.control.ground import TestGround


class Application(BaseHTTPRequestHandler):
    """Pauses and resumes as it is told; `server.mood` makes it lie, refuse or talk nonsense."""

    def log_message(self, *_: object) -> None:
        return

    def do_GET(self) -> None:
        self.server.seen.append(("GET", self.path, self.headers.get("Authorization")))
        body = {"garbage": b"<html>", "list": b"[]"}.get(self.server.mood)
        self._answer(200, body or json.dumps({"paused": self.server.paused}).encode())

    def do_POST(self) -> None:
        self.server.seen.append(("POST", self.path, self.headers.get("Authorization")))
        if self.server.mood == "refuse":
            self._answer(403, b"no")
            return
        if self.server.mood != "lie":
            self.server.paused = self.path == "/pause"
        self._answer(204, b"")

    def _answer(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def application():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Application)
    server.paused, server.mood, server.seen = False, "", []
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def way(server, **options) -> Plugin:
    root = f"http://127.0.0.1:{server.server_port}"
    return Plugin(
        {"pause": f"{root}/pause", "resume": f"{root}/resume", "status": f"{root}/status"} | options
    )


@pytest.fixture
def ground(tmp_path):
    return TestGround(tmp_path)


def test_it_is_paused_and_given_back(application, ground, monkeypatch):
    monkeypatch.setenv("PAUSE_TOKEN", "a-token-of-the-test")
    control = way(application, token="env:PAUSE_TOKEN")
    control.check(ground)
    before = control.look(ground)
    control.stop(ground, before)
    assert application.paused
    control.stop(ground, before)
    control.start(ground, before)
    assert not application.paused
    assert {authorization for _, _, authorization in application.seen} == {"Bearer a-token-of-the-test"}
    assert [path for method, path, _ in application.seen if method == "POST"] == ["/pause", "/resume"]


def test_what_was_paused_before_stays_paused(application, ground):
    application.paused = True
    control = way(application)
    before = control.look(ground)
    control.stop(ground, before)
    control.start(ground, before)
    assert application.paused
    assert not [path for method, path, _ in application.seen if method == "POST"]


@pytest.mark.parametrize(
    ("mood", "words"),
    [("lie", "still runs"), ("refuse", "answered with 403")],
)
def test_one_that_does_not_pause_is_told(application, ground, mood, words):
    control, application.mood = way(application), mood
    with pytest.raises(OperationFailed, match=words):
        control.stop(ground, control.look(ground))


@pytest.mark.parametrize("mood", ["garbage", "list"])
def test_an_answer_that_says_nothing_is_no_state(application, ground, mood):
    application.mood = mood
    with pytest.raises(OperationFailed, match="did not answer with"):
        way(application).check(ground)


def test_one_that_is_gone_says_so_with_what_to_do(application, ground):
    control = way(application)
    application.shutdown()
    application.server_close()
    with pytest.raises(OperationFailed, match="does not answer") as told:
        control.check(ground)
    assert "without the stop commands" in told.value.hint
