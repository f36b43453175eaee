"""LocalStack: an S3 server that keeps its locks, in a Python of its own. moto's proves nothing about locks.

It forgets locks in no case that Amazon's documentation names: parts, shortening, downgrading, delete markers. It
does not ask for rights: any key may do anything that no lock forbids. It needs Python 3.13 (`warnings.deprecated`);
where there is none the tests that need it are skipped, and the run says so.
"""

import fcntl
import os
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drcenter.process import Command, run, start
from tests.backups.destinations.s3_server import free_port

VERSION = "2026.3.0"
# Upstream leaves these open, and newer ones break it.
PINS = ("cbor2<5.8", "cryptography<46", "pyopenssl<25.2", "service_identity<24.3")
PYTHONS = ("python3.13", "python3.14")
WITHOUT = "Object locks are NOT tested: LocalStack needs Python 3.13, and none was found on this machine."


def python() -> str | None:
    """A Python that is new enough: this one, one of the PATH, or one of pyenv's."""
    installed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    ours = sorted(str(path) for minor in (13, 14) for path in installed.glob(f"3.{minor}.*/bin/python"))
    return next((found for name in (sys.executable, *PYTHONS, *ours) if (found := _fitting(name))), None)


def _fitting(name: str) -> str | None:
    """The path of the Python `name`, if it starts (pyenv leaves names that do not) and is new enough."""
    path = shutil.which(name)
    if path is None:
        return None
    test = "import sys; sys.exit(sys.version_info < (3, 13))"
    return path if run(Command((path, "-c", test)), check=False).code == 0 else None


def _installed() -> Path:
    """The Python that has it: made at first use, beside the environment of the tests, and removed with that."""
    place = Path(sys.prefix) / "test-servers" / f"localstack-{VERSION}"
    place.parent.mkdir(exist_ok=True)
    with place.with_name(f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "complete").exists():
            _install(place)
    return place / "bin" / "python"


def _install(place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    run(Command((str(python()), "-m", "venv", str(place))), timeout=120)
    packages = (f"localstack-core[base-runtime]=={VERSION}", *PINS)
    pip = (str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", *packages)
    run(Command(pip, inherit=tuple(os.environ)), timeout=600)
    (place / "complete").touch()


@contextmanager
def running() -> Iterator[int]:
    """The port of a LocalStack that serves S3; it is ended, with all it kept, when the context ends."""
    interpreter, port = _installed(), free_port()
    folder = tempfile.mkdtemp(prefix="localstack-")
    argv = (str(interpreter), "-m", "localstack.runtime.main")
    try:
        with start(Command(argv, env=_environment(port, folder), directory=folder)) as child:
            deadline = time.monotonic() + 90
            while not _answers(port):
                assert child.code is None and time.monotonic() < deadline, child.stderr
                time.sleep(0.1)
            yield port
            child.terminate(10)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _environment(port: int, folder: str) -> dict[str, str]:
    return {
        "GATEWAY_LISTEN": f"127.0.0.1:{port}", "GATEWAY_SERVER": "hypercorn", "SERVICES": "s3", "DNS_ADDRESS": "0",
        "SKIP_SSL_CERT_DOWNLOAD": "1", "DISABLE_EVENTS": "1", "HOME": folder, "LS_LOG": "error",
        # Otherwise it believes to be in a container, and keeps its things in /var/lib.
        "OVERRIDE_IN_DOCKER": "0", "FILESYSTEM_ROOT": folder,
    }  # fmt: skip


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_localstack/health", timeout=5):
            return True
    except OSError:
        return False
