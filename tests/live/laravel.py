"""A running Laravel application, for tests."""

import contextlib
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from drcenter.process import DEVNULL, Command, start


@contextlib.contextmanager
def served(application: Path) -> Iterator[str]:
    """Serve the application on a free port of this machine; gives its address, without a slash at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = ("php", "-S", f"127.0.0.1:{port}", "-t", "public", "public/index.php")
    with start(Command(argv, directory=str(application)), stdout=DEVNULL) as child:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and child.code is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"


def answer(address: str) -> tuple[int, str]:
    """Status and body of what stands at the address; error statuses are answers, too."""
    try:
        with urllib.request.urlopen(address, timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
