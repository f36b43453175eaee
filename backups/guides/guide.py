"""The guide that lies inside every set: how to restore it without this product, in English and German.

It is made from the manifest and a few figures; the texts are in `guides/restore.*.md` and guide_words.py. Names of
databases and directories stand in it only when the set is not encrypted: else `restore.sh list` shows them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby

from backups.guides import guide_words as words
from backups.guides.restore_script import FOLDER, one_line, ordered, time_text, word
from backups.storage.layout import Manifest, ManifestPart
from backups.storage.spread import rounded_up

CLIENTS = {
    "mariadb": "mariadb-client", "mysql": "mariadb-client", "postgresql": "postgresql-client",
    "sqlite": "sqlite3", "files": "tar", "git": "git",
}  # fmt: skip
SERVERS = {"mariadb": "mariadb-server", "postgresql": "postgresql"}
PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
LANGUAGES = ("en", "de")


@dataclass(frozen=True)
class Known:
    """What the guide says besides the manifest.

    `places`: {source: where it was}, for a set that is not encrypted. `destinations`: the names of those that the plan
    has. `proof`: seconds that the last proof of the plan took to restore, and the plain bytes of that set.
    """

    places: Mapping[str, str] = field(default_factory=dict)
    destinations: tuple[str, ...] = ()
    proof: tuple[float, int] | None = None


def text(manifest: Manifest, known: Known | None = None) -> str:
    """`RESTORE.md` of this set."""
    given = known or Known()
    return "\n---\n\n".join(_in_language(manifest, given, language) for language in LANGUAGES)


def _in_language(manifest: Manifest, known: Known, language: str) -> str:
    values = _facts(manifest) | _phrases(manifest, known, language)
    values |= {"commands": _steps(manifest, known, language), "finish": _finish(manifest, language)}
    template = (FOLDER / f"restore.{language}.md").read_text()
    return PLACEHOLDER.sub(lambda match: values[match[1]], template)


def _facts(manifest: Manifest) -> dict[str, str]:
    return {
        "system": manifest.system,
        "system_name": prose(manifest.system_name),
        "set_name": manifest.identifier,
        "plan": prose(manifest.plan),
        "reason": prose(manifest.reason),
        "product": prose(manifest.product),
        "moment": _moment(manifest),
        "plain": size_text(sum(part.plain_size for part in manifest.parts)),
        "stored": size_text(sum(part.stored_size for part in manifest.parts)),
        "signing_key": manifest.signing_key or "-",
        "packages": " ".join(packages(manifest)),
        "option": _identity_option(manifest),
        "parts": _parts_table(manifest),
        "count": str(len(manifest.parts)),
        "sources": str(len(ordered(manifest))),
        "by_hand": _by_hand(manifest),
    }


def _warnings(manifest: Manifest, language: str) -> str:
    partial = (
        words.PARTIAL[language].format(words.partial(manifest.partial, language)) if manifest.partial else ""
    )
    return (words.CAPPED[language] if manifest.capped else "") + partial


def _phrases(manifest: Manifest, known: Known, language: str) -> dict[str, str]:
    """What depends on the set, in one language."""
    recipients = ", ".join(f"`{one}`" for one in manifest.recipients)
    listed = "\n".join(f"* `{one}`" for one in manifest.recipients)
    tiers, there = words.TIERS[language], {part.tier for part in manifest.parts}
    absent = [tiers[tier] for tier in tiers if tier not in there]
    encrypted = words.ENCRYPTED[language].format(recipients)
    identity = words.IDENTITY[language].format(listed)
    needs = "\n".join(f"* `{one}`" for one in manifest.needs)
    return {
        "capped": _warnings(manifest, language),
        "needs": words.NEEDS[language].format(needs) if needs else "",
        "spread": words.SPREAD[language].format(spread_text(manifest)) if manifest.spread is not None else "",
        "number": words.NUMBER[language].format(manifest.number) if manifest.number else "",
        "destinations": ", ".join(map(prose, known.destinations)) or words.UNKNOWN[language],
        "encrypted": encrypted if manifest.encrypted else words.NOT_ENCRYPTED[language],
        "tiers": ", ".join(tiers[tier] for tier in tiers if tier in there) or "-",
        "missing": ", ".join(absent) or words.NOTHING_MISSING[language],
        "duration": _duration(known, language),
        "identity": identity if manifest.encrypted else words.NO_IDENTITY[language],
    }


def _duration(known: Known, language: str) -> str:
    if known.proof is None:
        return words.NO_DURATION[language]
    seconds, size = known.proof
    time = f"{seconds // 60:.0f} min {seconds % 60:.0f} s" if seconds >= 60 else f"{seconds:.1f} s"
    return words.DURATION[language].format(size=size_text(size), time=time)


def _moment(manifest: Manifest) -> str:
    return prose(time_text(manifest.moment, manifest.time_zone))


def spread_text(manifest: Manifest) -> str:
    return f"{rounded_up(manifest.spread or 0):.1f} s"


# ---------------------------------------------------------------------------- the steps


def _steps(manifest: Manifest, known: Known, language: str) -> str:
    """A numbered step for each tier, with a command for each source, as a bare machine needs them."""
    groups = groupby(ordered(manifest), key=lambda part: part.tier)
    return "\n".join(
        _step(f"5.{number} {_title(tier, language)}", list(parts), manifest, known, language)
        for number, (tier, parts) in enumerate(groups, 1)
    )


def _title(tier: str, language: str) -> str:
    name = words.TIERS[language].get(tier) or prose(tier)
    return name[:1].upper() + name[1:]


def _step(title: str, parts: list[ManifestPart], manifest: Manifest, known: Known, language: str) -> str:
    tier, first = parts[0].tier, _shell_name(parts[0].source)
    option = _identity_option(manifest)
    commands = [
        f"sh restore.sh source {_shell_name(part.source)}{option}{_comment(known, part.source)}"
        for part in parts
    ]
    pieces = [
        f"### {title}",
        words.BEFORE[language].get(tier, ""),
        _server(manifest, parts, language),
        "\n".join(["```sh", *commands, "```"]),
        words.AFTER[language].get(tier, "").format(first),
    ]
    return "\n\n".join(filter(None, map(str.strip, pieces))) + "\n"


def _comment(known: Known, source: str) -> str:
    place = known.places.get(source)
    return f"     # -> {one_line(place).replace('`', ' ')}" if place else ""


def _server(manifest: Manifest, parts: list[ManifestPart], language: str) -> str:
    servers = sorted({SERVERS[part.engine] for part in parts if part.engine in SERVERS})
    return words.SERVER[language].format(" ".join(servers), _versions(manifest)) if servers else ""


def _finish(manifest: Manifest, language: str) -> str:
    lines = (line.format(moment=_moment(manifest)) for line in words.FINISH[language])
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))


def packages(manifest: Manifest) -> list[str]:
    """Debian's packages that `restore.sh` needs for this set."""
    needed = {CLIENTS[part.engine] for part in manifest.parts if part.engine in CLIENTS}
    if any(part.suffix == "tar" for part in manifest.parts):
        needed.add("tar")
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


def _shell_name(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else word(name)


def _by_hand(manifest: Manifest) -> str:
    part = manifest.parts[0] if manifest.parts else None
    key = part.key if part else manifest.details.key
    plain = key.rpartition("/")[2].removesuffix(".age").removesuffix(".zst")
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
