"""What a rebuild has seen, and what of it a person should know."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from backups.rebuild.read import Kind, Reading
from backups.rebuild.rows import Rows
from backups.storage import succession, trace

# Retention leaves many gaps: the first ones stand for the others.
GAPS_SHOWN = 5


@dataclass
class Seen:
    """`foreign`: keys that are no set's. `links`: of each system, the places of its sets in their succession."""

    rows: Rows
    with_identity: bool
    foreign: list[str] = field(default_factory=list)
    links: dict[str, list[succession.Link]] = field(default_factory=dict)

    @property
    def folders(self) -> int:
        """How many sets' folders were looked at."""
        return sum(self.rows.counts[str(kind)] for kind in Kind)

    def note_links(self, readings: Iterable[Reading]) -> None:
        for reading in readings:
            if reading.kind is Kind.OURS and reading.link is not None:
                self.links.setdefault(reading.folder.system, []).append(reading.link)

    def told(self) -> Iterator[str]:
        """Sentences: what the catalogue cannot know and what would tell it, what was refused, what does not fit."""
        yield from self._whose()
        yield from self._bare()
        yield from self._breaks()
        yield from self.rows.problems

    def _whose(self) -> Iterator[str]:
        if self.rows.counts[str(Kind.FOREIGN)]:
            yield _(
                "Some sets are signed with a key that is not trusted here. They can be restored from, and are never"
                " changed or removed. If they are yours: bring the signing key of the recovery kit."
            )
        if self.rows.counts[str(Kind.NEWER)]:
            yield _("Some sets were written by a newer version of the product: update this one.")

    def _bare(self) -> Iterator[str]:
        bare = any(self.rows.systems.bare.values())
        if bare and not self.with_identity:
            yield _(
                "No identity was brought. What only it opens is missing: options of systems, sources and plans, findings,"
                " digests of the plain bytes. Run it again with the identity: only what is missing is added."
            )
        elif bare:
            yield _(
                "Some systems, sources or plans stay without their options: the identity does not open their newest sets."
            )

    def _breaks(self) -> Iterator[str]:
        """Gaps and forks in the order of each system's sets, as their signed manifests tell it."""
        for system, links in self.links.items():
            breaks = succession.breaks(links)
            gaps = [one for one in breaks if one.kind is succession.Kind.MISSING]
            for one in breaks:
                if one not in gaps[GAPS_SHOWN:]:
                    yield f"{system}: {trace.sentence(one)}"
