"""The script and the guide that lie inside every set: how to restore it without this product.

Both are made from the manifest alone, so that a set that is found in storage explains itself. The texts are in
`guides/`; the pieces of the script in `guides/restore/`, in the order of their names. Every value is quoted: a name of a system or a source is data, never a word of the shell.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from backups.layout import Manifest, ManifestPart

FOLDER = Path(__file__).parent / "guides"
SLOT = re.compile(r"#(VALUES|PARTS|SOURCES)#")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def script(manifest: Manifest) -> str:
    """`restore.sh` of this set: sh that works with dash and busybox."""
    template = "".join(path.read_text() for path in sorted((FOLDER / "restore").glob("*.sh")))
    parts = "\n    ".join(f'part {_words(_part_values(part))}; "$@" || return 1' for part in manifest.parts)
    sources = "\n    ".join(
        f'origin {_words((part.source, part.engine, part.tier, part.key))}; "$@" || return 1'
        for part in _ordered(manifest)
    )
    values = "\n".join(f"{name}={_word(value)}" for name, value in _values(manifest).items())
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
        "number": manifest.number or "",
        "predecessor": manifest.predecessor.set if manifest.predecessor else "",
        "predecessor_sha256": manifest.predecessor.sha256 if manifest.predecessor else "",
        "moment": time_text(manifest.moment, manifest.time_zone),
        "moment_seconds": int(manifest.moment.timestamp()),
        "encrypted": "1" if manifest.encrypted else "",
        "recipients": " ".join(manifest.recipients),
        "signing_key": manifest.signing_key,
        "capped": "1" if manifest.capped else "",
        "details_key": manifest.details.key,
        "details_digest": manifest.details.sha256,
    }


def _part_values(part: ManifestPart) -> tuple[object, ...]:
    return (
        part.order, part.source, part.name, part.engine, part.tier, part.suffix,
        part.plain_size, part.stored_size, part.stored_sha256, part.key,
    )  # fmt: skip


def _first_parts(manifest: Manifest) -> list[ManifestPart]:
    """One part of each source, in the order of the restore."""
    found: dict[str, ManifestPart] = {}
    for part in manifest.parts:
        found.setdefault(part.source, part)
    return list(found.values())


def _ordered(manifest: Manifest) -> list[ManifestPart]:
    """One part of each source, in the order in which a bare machine comes back."""
    known = {tier: place for place, tier in enumerate(ORDER)}
    return sorted(_first_parts(manifest), key=lambda part: known.get(part.tier, len(known)))


def _words(values: Iterable[object]) -> str:
    return " ".join(_word(value) for value in values)


def _word(value: object) -> str:
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


# ---------------------------------------------------------------------------- RESTORE.md

# A bare machine comes back in this order; what is not named here comes last.
ORDER = (
    "scripts", "system", "certificates", "git", "application", "configuration", "database", "storage",
    "documentation", "external", "information", "metadata",
)  # fmt: skip
CLIENTS = {
    "mariadb": "mariadb-client", "mysql": "mariadb-client", "postgresql": "postgresql-client",
    "sqlite": "sqlite3", "files": "tar",
}  # fmt: skip
SERVERS = {"mariadb": "mariadb-server", "postgresql": "postgresql"}
PLACES = {"mariadb": "DATABASE", "mysql": "DATABASE", "postgresql": "DATABASE", "sqlite": "FILE"}
PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")

CAPPED = {
    "en": "\n**This set is incomplete**: the dump lacks something that a right or a tool did not give. `log.txt` and the"
    " details say what.\n",
    "de": "\n**Dieser Satz ist unvollständig**: Der Sicherung fehlt etwas, das ein Recht oder ein Werkzeug nicht hergab."
    " `log.txt` und die Details sagen, was.\n",
}
SERVER_NOTE = {
    "en": "\nThe database's server, if this machine is to run it:\n\n```sh\napt-get install {}\n```\n\n"
    "Take the same version as before, or a newer one{}.\n",
    "de": "\nDen Datenbankserver dazu, wenn er auf dieser Maschine laufen soll:\n\n```sh\napt-get install {}\n```\n\n"
    "Nehmen Sie dieselbe Version wie vorher oder eine neuere{}.\n",
}
ENCRYPTED = {
    "en": "yes, to {}",
    "de": "ja, für {}",
}
NOT_ENCRYPTED = {
    "en": "**no**: whoever reads the store reads the data",
    "de": "**nein**: Wer den Speicher liest, liest die Daten",
}
IDENTITY = {
    "en": """The set is encrypted with age. You need the identity that belongs to one of these recipients; the kit names
both:

{}

Write the line of the kit that begins with `AGE-SECRET-KEY-1` into a file that only you can read:

```sh
(umask 077 && cat > identity.txt)     # type or paste it, Enter, Ctrl-D
age-keygen -y identity.txt            # has to print one of the recipients above
```

Delete the file when you are done.

""",
    "de": """Der Satz ist mit age verschlüsselt. Sie brauchen die Identität zu einem dieser Empfänger; das Notfallblatt nennt
beide:

{}

Schreiben Sie die Zeile des Notfallblatts, die mit `AGE-SECRET-KEY-1` beginnt, in eine Datei, die nur Sie lesen können:

```sh
(umask 077 && cat > identity.txt)     # eintippen oder einfügen, Enter, Strg-D
age-keygen -y identity.txt            # muss einen der Empfänger oben ausgeben
```

Löschen Sie die Datei, wenn Sie fertig sind.

""",
}
NO_IDENTITY = {
    "en": "None is needed: this set is not encrypted.\n\n",
    "de": "Es wird keine gebraucht: Dieser Satz ist nicht verschlüsselt.\n\n",
}


def text(manifest: Manifest) -> str:
    """`RESTORE.md` of this set, in English and German."""
    values = _facts(manifest) | _phrases(manifest, "en") | _phrases(manifest, "de")
    template = (FOLDER / "restore.md").read_text()
    return PLACEHOLDER.sub(lambda match: values[match[1]], template)


def _facts(manifest: Manifest) -> dict[str, str]:
    return {
        "system": manifest.system,
        "system_name": prose(manifest.system_name),
        "set_name": manifest.identifier,
        "plan": prose(manifest.plan),
        "reason": prose(manifest.reason),
        "product": prose(manifest.product),
        "moment": time_text(manifest.moment, manifest.time_zone),
        "plain": size_text(sum(part.plain_size for part in manifest.parts)),
        "stored": size_text(sum(part.stored_size for part in manifest.parts)),
        "signing_key": manifest.signing_key or "-",
        "packages": " ".join(packages(manifest)),
        "identity": _identity_option(manifest),
        "parts": _parts_table(manifest),
        "commands": _commands(manifest),
        "by_hand": _by_hand(manifest),
    }


def _phrases(manifest: Manifest, language: str) -> dict[str, str]:
    """What depends on the set, in one language."""
    servers = sorted({SERVERS[part.engine] for part in manifest.parts if part.engine in SERVERS})
    recipients = ", ".join(f"`{one}`" for one in manifest.recipients)
    listed = "\n".join(f"* `{one}`" for one in manifest.recipients)
    note = SERVER_NOTE[language].format(" ".join(servers), _versions(manifest)) if servers else ""
    encrypted = ENCRYPTED[language].format(recipients)
    return {
        f"capped_{language}": CAPPED[language] if manifest.capped else "",
        f"servers_{language}": note,
        f"encrypted_{language}": encrypted if manifest.encrypted else NOT_ENCRYPTED[language],
        f"identity_{language}": IDENTITY[language].format(listed)
        if manifest.encrypted
        else NO_IDENTITY[language],
    }


def packages(manifest: Manifest) -> list[str]:
    """Debian's packages that `restore.sh` needs for this set."""
    needed = {CLIENTS[part.engine] for part in manifest.parts if part.engine in CLIENTS}
    return ["zstd", "openssl", *(["age"] if manifest.encrypted else []), *sorted(needed)]


def _versions(manifest: Manifest) -> str:
    found = {name: version for name, version in manifest.tools.items() if name.endswith(".version")}
    listed = ", ".join(
        f"{name.removesuffix('.version')}: {version}" for name, version in sorted(found.items())
    )
    return f" ({prose(listed)})" if listed else ""


def _identity_option(manifest: Manifest) -> str:
    return " --identity identity.txt" if manifest.encrypted else ""


def _parts_table(manifest: Manifest) -> str:
    rows = [
        f"| {part.order} | {prose(part.source)} | {prose(part.name)} | {prose(part.tier)} | {prose(part.engine)}"
        f" | {size_text(part.plain_size)} | {size_text(part.stored_size)} |"
        for part in manifest.parts
    ]
    return "\n".join(
        ["| # | source | part | tier | engine | plain | stored |", "|---|---|---|---|---|---|---|", *rows]
    )


def _commands(manifest: Manifest) -> str:
    """A command for each source, as a bare machine needs them."""
    lines = [
        f"sh restore.sh source {_shell_name(part.source)} --target {PLACES.get(part.engine, 'DIRECTORY')}"
        f"{_identity_option(manifest)}"
        for part in _ordered(manifest)
    ]
    return "\n".join(["```sh", *lines, "```"])


def _shell_name(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _word(name)


def _by_hand(manifest: Manifest) -> str:
    part = manifest.parts[0] if manifest.parts else None
    key = part.key if part else manifest.details.key
    plain = key.removeprefix("parts/").removesuffix(".age").removesuffix(".zst")
    if manifest.encrypted:
        return f"age -d -i identity.txt {key} | zstd -dc > {plain}"
    return f"zstd -dc {key} > {plain}"


def prose(text: str) -> str:
    """`text` as words of a Markdown document: nothing in it is markup."""
    return re.sub(r"([\\`*_{}\[\]<>|#!~&])", r"\\\1", one_line(text))


def size_text(size: int) -> str:
    """Bytes in the largest binary unit below them: 1.4 GiB."""
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
