"""An S3 server over HTTP in a process of its own, on a free port of this machine."""

import socket
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from drcenter.process import Command, start

ACCESS_KEY, SECRET_KEY = "AKIDtestaccesskey", "test-secret-value-of-the-store"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running() -> Iterator[int]:
    """The port of a moto server; it is ended, by its own process, when the context ends."""
    port = free_port()
    argv = (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port))
    # Short pages, so that a listing of many keys has several.
    with start(Command(argv, env={"MOTO_S3_DEFAULT_MAX_KEYS": "50"})) as child:
        deadline = time.monotonic() + 60
        while not _answers(port):
            assert child.code is None and time.monotonic() < deadline, child.stderr
            time.sleep(0.05)
        yield port
        child.terminate(5)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@cache
def client(port: int) -> Any:
    """A plain client of the server, to look at what really is there."""
    import boto3

    return boto3.session.Session(aws_access_key_id="look", aws_secret_access_key="look").client(
        "s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1"
    )


def new_bucket(port: int, *, locks: bool = False) -> str:
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    client(port).create_bucket(Bucket=name, ObjectLockEnabledForBucket=locks)
    return name


def options(port: int, bucket: str, **more: Any) -> dict[str, Any]:
    """Options of a destination there; its keys are the references that the fixture `s3_keys` fills."""
    return {
        "bucket": bucket,
        "prefix": "drc",
        "endpoint_url": f"http://127.0.0.1:{port}",
        "access_key": "env:TEST_S3_ACCESS_KEY",
        "secret_key": "env:TEST_S3_SECRET_KEY",
        "path_style": True,
        **more,
    }
