"""Disks that refuse, for real: each in a process of its own, since limits, users and mounts are its own.

Run as a program it puts on such a disk and prints as JSON what happened. `full` and `read-only` are
file systems mounted in a private name space; `limited` and `forbidden` work for every user anywhere.
"""

import json
import os
import resource
import shutil
import signal
import sys
import tempfile
from functools import cache
from pathlib import Path

from drcenter.process import Command, run

HERE = Path(__file__).parents[3]
HINTS = {
    "limited": "file system takes no file of that size",
    "forbidden": "Give the user of the workers the right",
    "full": "The disk is full",
    "read-only": "mounted read-only",
}
NOBODY = 65534


@cache
def _name_space() -> tuple[str, ...]:
    """The start of a command that may mount; empty where the kernel refuses that."""
    for prefix in (("unshare", "--mount"), ("unshare", "--map-root-user", "--mount")):
        mount = ("mount", "-t", "tmpfs", "tmpfs", tempfile.gettempdir())
        if run(Command((*prefix, *mount)), check=False).code == 0:
            return prefix
    return ()


def possible() -> list[str]:
    return ["limited", "forbidden", *(("full", "read-only") if _name_space() else ())]


def put_on(trouble: str) -> dict[str, object]:
    prefix = _name_space() if trouble in ("full", "read-only") else ()
    script = (sys.executable, "-m", "tests.backups.destinations.bad_disk", trouble)
    finished = run(Command((*prefix, *script), directory=str(HERE)))
    result: dict[str, object] = json.loads(finished.stdout)
    return result


def _mount(*options: str) -> None:
    run(Command(("mount", *options)))


def _break(trouble: str, root: Path) -> None:
    if trouble == "limited":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, resource.RLIM_INFINITY))
    elif trouble == "forbidden":
        root.chmod(0o555)
        if os.geteuid() == 0:
            os.seteuid(NOBODY)
    elif trouble == "read-only":
        _mount("-o", "remount,ro", str(root))


def _mend(trouble: str, root: Path) -> None:
    if trouble == "limited":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    elif trouble == "forbidden":
        os.seteuid(os.getuid())
        root.chmod(0o700)
    elif trouble == "read-only":
        _mount("-o", "remount,rw", str(root))
    else:
        _mount("-o", "remount,size=8m", str(root))


def _try(trouble: str, root: Path) -> dict[str, object]:
    import io

    from backups.destinations.local import Plugin
    from drcenter.errors import OperationFailed
    from tests.backups.destinations.streams import Generated

    destination = Plugin({"path": str(root)})
    destination.prepare()
    destination.put("good/one", io.BytesIO(b"good"))
    (root / "good").chmod(0o755)  # The marker and this name have to be visible to the other user.
    _break(trouble, root)
    told: dict[str, object] = {}
    try:
        destination.put("bad/one", Generated(3 << 20))
    except OperationFailed as error:
        told = {"message": error.message, "hint": error.hint, "permanent": error.permanent}
    told["left"] = sorted(str(path.relative_to(root)) for path in root.rglob("[!.]*") if path.is_file())
    _mend(trouble, root)
    told["next"] = destination.put("next/one", Generated(3 << 20)).size
    return told


def main(trouble: str) -> None:
    import django
    from django.conf import settings

    settings.configure()
    django.setup()
    root = Path(tempfile.mkdtemp(prefix="bad-disk-"))
    root.chmod(0o755)
    try:
        if trouble in ("full", "read-only"):
            size = "2m" if trouble == "full" else "8m"
            _mount("-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(root))
        sys.stdout.write(json.dumps(_try(trouble, root)))
    finally:
        if trouble in ("full", "read-only"):
            run(Command(("umount", str(root))), check=False)
        shutil.rmtree(root)


if __name__ == "__main__":
    main(sys.argv[1])
