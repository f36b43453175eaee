"""Sets of some tables alone: which source holds which of them, and what such a set says of itself."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from backups.engines.base import Engine
from backups.models import Source
from drcenter.errors import OperationFailed

# Names that are shown of a long list.
SHOWN = 10
NEAR = 3


@dataclass(frozen=True)
class Chosen:
    """A source, and which of its tables are taken: None as its own options say, none named: all. `of`: how many
    it has."""

    source: Source
    tables: Sequence[str] | None = None
    of: int = 0

    def build(self) -> Engine:
        """The engine, narrowed to the tables."""
        engine = self.source.build()
        return engine.only(self.tables) if self.tables is not None and engine.by_table else engine


def choose(sources: Sequence[Source], wanted: Sequence[str]) -> list[Chosen]:
    """Which source gives which of the tables `wanted`; without any, every source as its own options say.

    A source that has none of them is left out. Raises OperationFailed for a table that no source has, with those
    whose names are near, and for one whose name fits several.
    """
    if not wanted:
        return [_as_configured(source) for source in sources]
    known = {source: source.build().tables() for source in sources if source.build().by_table}
    if not known:
        raise OperationFailed(
            _("None of the plan's sources is a database whose tables can be taken alone."),
            _("Leave the tables out, or choose a plan with a database."),
            permanent=True,
        )
    found: dict[Source, list[str]] = {}
    for name in dict.fromkeys(wanted):
        source, table = _place_of(name, known)
        if table not in found.setdefault(source, []):
            found[source].append(table)
    return [Chosen(source, found[source], len(known[source])) for source in known if source in found]


def _as_configured(source: Source) -> Chosen:
    engine = source.build()
    own = engine.options.get("tables") if engine.by_table else None
    return Chosen(source, tuple(own), len(engine.tables())) if own else Chosen(source)


def _place_of(name: str, known: Mapping[Source, Sequence[str]]) -> tuple[Source, str]:
    """The source that has the table, and its whole name there: PostgreSQL's begin with their schema."""
    exact = [(source, table) for source, tables in known.items() for table in tables if table == name]
    fitting = exact or [
        (source, table) for source, tables in known.items() for table in tables if table.endswith(f".{name}")
    ]
    if len(fitting) == 1:
        return fitting[0]
    names = sorted({table for tables in known.values() for table in tables})
    if fitting:
        places = ", ".join(f"{source.name}: {table}" for source, table in fitting)
        raise OperationFailed(
            _("The table %(name)s is there more than once: %(places)s.") % {"name": name, "places": places},
            _("Write it with its schema, or take it by a plan of that source alone."),
            permanent=True,
        )
    near = _near(name, names)
    hint = _("Did you mean: %(names)s?") if near else _("There are: %(names)s.")
    raise OperationFailed(
        _("No source of the plan has a table %(name)s.") % {"name": name},
        hint % {"names": ", ".join(near or names[:SHOWN]) or _("none")},
        permanent=True,
    )


def _near(name: str, names: Sequence[str]) -> list[str]:
    bare = {one.rpartition(".")[2].lower(): one for one in names} | {one.lower(): one for one in names}
    return list(
        dict.fromkeys(bare[close] for close in difflib.get_close_matches(name.lower(), bare, NEAR, 0.6))
    )


def sentence(chosen: Sequence[Chosen], sources: Sequence[Source]) -> str:
    """What a set holds less than its sources, "" if nothing: for people, with the names."""
    parts = [
        _("only %(count)s of %(all)s tables of %(source)s: %(names)s")
        % {"count": len(one.tables), "all": one.of, "source": one.source.name, "names": _listed(one.tables)}
        for one in chosen
        if one.tables
    ]
    taken = {one.source.name for one in chosen}
    if parts and (without := [source.name for source in sources if source.name not in taken]):
        parts.append(_("without %(names)s") % {"names": ", ".join(without)})
    return "; ".join(parts)


def in_clear(chosen: Sequence[Chosen]) -> str:
    """The same for the manifest, which anybody can read: no names."""
    narrowed = [one for one in chosen if one.tables]
    count, of = sum(len(one.tables or ()) for one in narrowed), sum(one.of for one in narrowed)
    return f"{count} of {of} tables" if narrowed else ""


def _listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return f"{', '.join(names[:SHOWN])}{f', … (+{more})' if more > 0 else ''}"
