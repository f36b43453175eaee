"""The script that lies inside every set and restores it without this product (pure but for the texts it reads).

It is made from the manifest alone, so that a set that is found in storage explains itself. Its pieces are in
`guides/restore/`, in the order of their names. Every value is quoted: a name of a system or a source is data, never a
word of the shell.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from backups.storage.layout import Manifest, ManifestPart

FOLDER = Path(__file__).parent
SLOT = re.compile(r"#(VALUES|PARTS|SOURCES)#")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# A bare machine comes back in this order; what is not named here comes last.
ORDER = (
    "information", "scripts", "certificates", "system", "application", "configuration", "database", "storage", "git",
    "external", "documentation", "metadata",
)  # fmt: skip


def script(manifest: Manifest) -> str:
    """`restore.sh` of this set: sh that works with dash and busybox."""
    template = "".join(path.read_text() for path in sorted((FOLDER / "restore").glob("*.sh")))
    parts = "\n    ".join(f'part {words(_part_values(part))}; "$@" || return 1' for part in manifest.parts)
    sources = "\n    ".join(
        f'origin {words((part.source, part.engine, part.tier, part.key))}; "$@" || return 1'
        for part in ordered(manifest)
    )
    values = "\n".join(f"{name}={word(value)}" for name, value in _values(manifest).items())
    filled = {"VALUES": values, "PARTS": parts, "SOURCES": sources}
    # In one pass: what was filled in is never looked at again.
    return SLOT.sub(lambda match: filled[match[1]], template)


def _values(manifest: Manifest) -> dict[str, object]:
    return {
        "system": manifest.system,
        "system_name": manifest.system_name,
        "set_name": manifest.identifier,
        "plan": manifest.plan,
        "reason": manifest.reason,
        "needs": " ".join(manifest.needs),
        "number": manifest.number or "",
        "predecessor": manifest.predecessor.set if manifest.predecessor else "",
        "predecessor_sha256": manifest.predecessor.sha256 if manifest.predecessor else "",
        "moment": time_text(manifest.moment, manifest.time_zone),
        "moment_seconds": int(manifest.moment.timestamp()),
        "encrypted": "1" if manifest.encrypted else "",
        "recipients": " ".join(manifest.recipients),
        "signing_key": manifest.signing_key,
        "capped": "1" if manifest.capped else "",
        "partial": manifest.partial,
        "details_key": manifest.details.key,
        "details_digest": manifest.details.sha256,
    }


def _part_values(part: ManifestPart) -> tuple[object, ...]:
    return (
        part.order, part.source, part.name, part.engine, part.tier, part.suffix,
        part.plain_size, part.stored_size, part.stored_sha256, part.key,
    )  # fmt: skip


def first_parts(manifest: Manifest) -> list[ManifestPart]:
    """One part of each source, in the order of the restore."""
    found: dict[str, ManifestPart] = {}
    for part in manifest.parts:
        found.setdefault(part.source, part)
    return list(found.values())


def ordered(manifest: Manifest) -> list[ManifestPart]:
    """One part of each source, in the order in which a bare machine comes back."""
    known = {tier: place for place, tier in enumerate(ORDER)}
    return sorted(first_parts(manifest), key=lambda part: known.get(part.tier, len(known)))


def words(values: Iterable[object]) -> str:
    return " ".join(word(value) for value in values)


def word(value: object) -> str:
    """One word of the shell, in single quotes. Control characters become spaces: a name has one line."""
    return "'" + one_line(str(value)).replace("'", "'\\''") + "'"


def one_line(text: str) -> str:
    return CONTROL.sub(" ", text)


def time_text(moment: datetime, zone: str = "UTC") -> str:
    """2026-11-20 02:00:00 Europe/Berlin (2026-11-20 01:00:00 UTC): as people there say it, and without doubt."""
    utc = f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    try:
        local = moment.astimezone(ZoneInfo(zone))
    except (KeyError, ValueError, OSError):  # No zone, or none that this machine knows.
        return utc
    return utc if zone == "UTC" else f"{local:%Y-%m-%d %H:%M:%S} {zone} ({utc})"
