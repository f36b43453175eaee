"""What is asked of a machine: which program tells it, and in which form.

No program gets to run code of the machine's applications: composer without plugins, npm lists only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from drcenter.process import Command

LARGEST_CRONTAB = 1 << 20


@dataclass(frozen=True)
class Listing:
    """A command that writes the list, and the kind of its bytes. `may_fail`: it says by its exit code that there
    is nothing to tell (no systemd in a container), which is no finding."""

    command: Command
    suffix: str = "txt"
    may_fail: bool = False


def _lists(
    *argv: str, suffix: str = "txt", may_fail: bool = False, accepted: tuple[int, ...] = (0,)
) -> Listing:
    env = {
        "LC_ALL": "C.UTF-8",
        "COMPOSER_ALLOW_SUPERUSER": "1",
        "COMPOSER_NO_INTERACTION": "1",
        "NO_UPDATE_NOTIFIER": "1",
    }
    return Listing(Command(argv, env=env, accepted=accepted), suffix, may_fail)


LISTS: Mapping[str, Listing] = {
    "packages": _lists("dpkg-query", "--show", "--showformat=${Package}\t${Version}\t${Architecture}\t${db:Status-Abbrev}\n"),
    "packages-by-hand": _lists("apt-mark", "showmanual"),
    "php-version": _lists("php", "--version"),
    "php-modules": _lists("php", "--modules"),
    # Without any package composer says so with exit code 1.
    "composer-global": _lists("composer", "global", "show", "--format=json", "--no-plugins", suffix="json", may_fail=True),
    # npm tells of problems in the tree by exit code 1, with the list.
    "npm-global": _lists("npm", "ls", "--global", "--json", "--depth=0", suffix="json", accepted=(0, 1)),
    "disks": _lists("lsblk", "--json", "--bytes", "--output=NAME,KNAME,TYPE,SIZE,FSTYPE,UUID,PARTUUID,LABEL,MOUNTPOINT,MODEL",
                    suffix="json", may_fail=True),
    "mounts": _lists("findmnt", "--json", "--real", suffix="json", may_fail=True),
    "space": _lists("df", "--portability", "--print-type", accepted=(0, 1)),
    "kernel": _lists("uname", "--all"),
    "network": _lists("ip", "-json", "address", suffix="json", may_fail=True),
    "units": _lists("systemctl", "list-unit-files", "--state=enabled", "--no-legend", "--no-pager", "--plain", may_fail=True),
}  # fmt: skip
# Read as they are. Not /etc/shadow: hashes of passwords help nobody to build a machine again.
FILES: Mapping[str, Sequence[str]] = {
    "release": ("/etc/os-release",),
    "users": ("/etc/passwd", "/etc/group"),
    "hosts": ("/etc/hosts", "/etc/fstab"),
    "package-sources": ("/etc/apt/sources.list",),
}
CRON = (
    "/etc/crontab", "/etc/cron.d", "/etc/cron.hourly", "/etc/cron.daily", "/etc/cron.weekly", "/etc/cron.monthly",
    "/var/spool/cron/crontabs",
)  # fmt: skip


def crontabs(places: Sequence[str] = CRON) -> tuple[bytes, list[str]]:
    """The text of all crontabs, each below its path, and the paths that cannot be read."""
    texts, unreadable = [], []
    for place in map(Path, places):
        try:
            files = sorted(place.iterdir()) if place.is_dir() else [place] if place.exists() else []
        except OSError:
            unreadable.append(str(place))
            continue
        for file in files:
            try:
                # A pipe that somebody put there would never end.
                if file.is_file() and file.stat().st_size <= LARGEST_CRONTAB:
                    texts.append(f"# {file}\n".encode() + file.read_bytes())
            except OSError:
                unreadable.append(str(file))
    return b"\n".join(texts), unreadable
