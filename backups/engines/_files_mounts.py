"""Which file systems do not tell reliably, by the time of the last change, that a file was changed."""

import os
from collections.abc import Iterable
from pathlib import Path

# FUSE (sshfs) shows the time of the contents instead, which anybody can set; FAT knows no time of a change of mode.
UNSURE = ("fuse", "9p", "cifs", "smb3", "vfat", "exfat", "msdos", "ntfs")
MOUNTS = Path("/proc/self/mountinfo")


def without_change_times(devices: Iterable[int], mounts: Path = MOUNTS) -> str:
    """The name of the first of these devices' file systems that is UNSURE; "" if all can be relied upon.

    A device that is in no line (a subvolume of btrfs) is one that has change times.
    """
    kinds = dict(_kinds(mounts.read_text(errors="replace")))
    for device in devices:
        kind = kinds.get(f"{os.major(device)}:{os.minor(device)}", "")
        if kind.startswith(UNSURE):
            return kind
    return ""


def _kinds(text: str) -> Iterable[tuple[str, str]]:
    """(major:minor, kind) of each line, by proc(5)."""
    for line in text.splitlines():
        before, _dash, after = line.partition(" - ")
        fields = before.split()
        if len(fields) > 2 and after:
            yield fields[2], after.split()[0]
