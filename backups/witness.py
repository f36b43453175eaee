"""What a source holds, in digests: the evidence that decides whether a set is proven (pure).

A witness is computed by the source in the dump's own moment, and again by the scratch place. First
the objects (schema, rights), then the contents. Equal witnesses are the proof; a dump compared with
a second dump is not (backups lose FLOAT digits in both).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Content:
    """One table (or file): how many rows (or bytes), and an order-independent checksum of them."""

    count: int
    checksum: str


@dataclass(frozen=True)
class Witness:
    """`objects`: "kind name" -> digest or text of its definition. `contents`: table or path -> Content.

    `ignored`: names that cannot be compared, with the reason; they are shown, never silently left out.
    """

    objects: Mapping[str, str] = field(default_factory=dict)
    contents: Mapping[str, Content] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "objects": dict(self.objects),
            "contents": {name: [one.count, one.checksum] for name, one in self.contents.items()},
            "ignored": dict(self.ignored),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Witness":
        contents = {name: Content(count, checksum) for name, (count, checksum) in data["contents"].items()}
        return cls(dict(data["objects"]), contents, dict(data.get("ignored", {})))


def differences(source: Witness, restored: Witness) -> list[str]:
    """One sentence for each difference, objects first; empty when the two are equal."""
    ignored = source.ignored
    lines = _compare(source.objects, restored.objects, ignored, "definition differs")
    for name in sorted(source.contents.keys() | restored.contents.keys()):
        if name not in ignored:
            lines += _compare_content(name, source.contents.get(name), restored.contents.get(name))
    return lines


def joined(earlier: Witness, increment: Witness, removed: Iterable[str]) -> Witness:
    """What the source held when `increment` was taken, which names only what has changed since `earlier`."""
    gone = {*removed, *increment.contents, *increment.ignored}
    return Witness(
        increment.objects,
        {name: one for name, one in earlier.contents.items() if name not in gone} | dict(increment.contents),
        {name: why for name, why in earlier.ignored.items() if name not in gone} | dict(increment.ignored),
    )


def limited(found: Witness, increment: Witness) -> Witness:
    """`found` without the directories that stand there only because something of the increment is in them."""
    named = increment.contents.keys() | increment.ignored.keys()
    on_the_way = {above for name in named for above in _above(name)} - named
    contents = {name: one for name, one in found.contents.items() if name not in on_the_way}
    return Witness(found.objects, contents, found.ignored)


def _above(path: str) -> Iterator[str]:
    """The directories of a path, and `.`."""
    yield "."
    while path := path.rpartition("/")[0]:
        yield path


def withholding(
    source: Witness, restored: Witness, reason_of: Callable[[str], str]
) -> tuple[Witness, dict[str, str]]:
    """`source` with every object ignored that `reason_of` knows a reason for; and those that do differ, with it."""
    names = source.objects.keys() | restored.objects.keys()
    reasons = {name: reason for name in sorted(names) if (reason := reason_of(name))}
    other = {
        name: reasons[name] for name in reasons if source.objects.get(name) != restored.objects.get(name)
    }
    return Witness(source.objects, source.contents, {**source.ignored, **reasons}), other


def _compare(
    source: Mapping[str, str], restored: Mapping[str, str], ignored: Mapping[str, str], otherwise: str
) -> list[str]:
    lines = []
    for name in sorted(source.keys() | restored.keys()):
        if name in ignored or source.get(name) == restored.get(name):
            continue
        if name not in restored:
            lines.append(f"{name}: missing after the restore")
        elif name not in source:
            lines.append(f"{name}: not in the source")
        else:
            lines.append(f"{name}: {otherwise}")
    return lines


def _compare_content(name: str, source: Content | None, restored: Content | None) -> list[str]:
    if source == restored:
        return []
    if restored is None:
        return [f"{name}: missing after the restore"]
    if source is None:
        return [f"{name}: not in the source"]
    if source.count != restored.count:
        return [f"{name}: {source.count} in the source, {restored.count} after the restore"]
    return [f"{name}: same count ({source.count}), other contents"]
