"""Starts `manage.py run` below the demonstration, and knows whether it lives."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from drcenter.errors import OperationFailed
from drcenter.management.demo import places
from drcenter.process import Child, Command, start

GRACE = 40.0
PORTS = range(8000, 8100)


@dataclass
class House:
    """The running panel and workers."""

    child: Child
    address: str
    log: Path

    def alive(self) -> None:
        """Raises OperationFailed with the last lines when it has ended by itself."""
        if self.child.code is not None:
            last = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise OperationFailed(
                _("manage.py run ended: {text}").format(text=f"{self.child.stderr}\n{last}".strip())
            )


@contextmanager
def running(port: int, drill_identity: str) -> Iterator[House]:
    """Run panel, workers and ticks until the block ends. Raises OperationFailed if it had to be killed."""
    log = places.directory() / "run.log"
    with log.open("wb") as output, start(_command(port, drill_identity), stdout=output) as child:
        yield House(child, f"http://127.0.0.1:{port}", log)
        if child.terminate(GRACE) != 0:
            raise OperationFailed(
                _("manage.py run did not stop by itself; its log is {log}.").format(log=log)
            )


def _command(port: int, drill_identity: str) -> Command:
    argv = (sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), "run", "--bind", f"127.0.0.1:{port}")
    env = {
        # The samples are our own: prove them on every machine (docs/security.md, "What a proof can reach").
        "DRC_PROVE_AS_SELF": "True",
        "DRC_STATE": str(settings.STATE_DIR),
        "DRC_DRILL_IDENTITY": drill_identity,
        "PYTHONUNBUFFERED": "1",
    }
    # What it says goes to its standard error, which has to be in the log, too.
    return Command(("sh", "-c", 'exec "$@" 2>&1', "sh", *argv), env=env, inherit=tuple(os.environ))


def free_port(wanted: int) -> int:
    """`wanted`, or the next port that nobody listens on. Raises OperationFailed when there is none."""
    for port in (wanted, *(other for other in PORTS if other > wanted)):
        if is_free(port):
            return port
    raise OperationFailed(_("No port from {n} on is free.").format(n=wanted), _("Name one: --port N."))


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
