"""What a table looks like, and what two of them have in common (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from django.utils.translation import gettext as _

from drcenter.errors import OperationFailed


@dataclass(frozen=True)
class Column:
    """`type` as the server writes it. `form` says how the value is carried ("number", "text", "bytes", …).

    `generated`: computed by the server from others, or a period of its own: neither compared nor written.
    `always`: an identity that only takes a value when told so. `restamped`: the server sets it at each UPDATE.
    """

    name: str
    type: str
    form: str = "text"
    generated: bool = False
    always: bool = False
    restamped: bool = False


@dataclass(frozen=True)
class ForeignKey:
    """`columns` of `table` refer to `others` of `other`."""

    name: str
    table: str
    columns: tuple[str, ...]
    other: str
    others: tuple[str, ...]


@dataclass(frozen=True)
class Shape:
    """A table: its columns in order, keys, foreign keys out of it and into it, triggers by name, rows about."""

    table: str
    columns: tuple[Column, ...]
    primary: tuple[str, ...] = ()
    uniques: tuple[tuple[str, ...], ...] = ()
    parents: tuple[ForeignKey, ...] = ()
    children: tuple[ForeignKey, ...] = ()
    triggers: tuple[str, ...] = ()
    rows: int = 0
    transactional: bool = True

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    @property
    def written(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if not column.generated)


@dataclass(frozen=True)
class Common:
    """What is compared: columns of the restored table beside those of production, position by position.

    `key`: positions in them; empty: whole rows are compared, as many as there are of each.
    `alike`: the types are the same on both sides, so that checksums can be. `lacking`: columns that production has
    and the restored table has not: rows could not be deleted and brought back without losing them.
    """

    then: tuple[Column, ...]
    now: tuple[Column, ...]
    key: tuple[int, ...]
    notes: tuple[str, ...] = ()
    lacking: tuple[str, ...] = field(default=())

    @property
    def alike(self) -> bool:
        return all(
            (one.type, one.form) == (two.type, two.form) for one, two in zip(self.then, self.now, strict=True)
        )

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.now]


def common(
    then: Shape, now: Shape, key: Sequence[str] = (), renamed: Mapping[str, str] | None = None
) -> Common:
    """What of two tables can be compared. `renamed`: a column's name then -> its name now.

    Raises OperationFailed for a key that is not there, and for tables that have nothing in common.
    """
    renamed = dict(renamed or {})
    _check_renamed(then, now, renamed)
    pairs = [(column, _named(now, renamed.get(column.name, column.name))) for column in then.written]
    there = [(one, two) for one, two in pairs if two is not None and not two.generated]
    if not there:
        raise OperationFailed(
            _("%(then)s and %(now)s have no column in common.") % {"then": then.table, "now": now.table},
            _("Choose the table that it was with --counterpart."), permanent=True,
        )  # fmt: skip
    gone = [one.name for one, two in pairs if two is None or two.generated]
    known = {two.name for _one, two in there}
    new = [column.name for column in now.written if column.name not in known]
    names = [two.name for _one, two in there]
    chosen, about_key = _key(now, names, key)
    notes = [*_told(then, now, there, gone, new), *about_key]
    return Common(
        tuple(one for one, _two in there), tuple(two for _one, two in there),
        tuple(names.index(name) for name in chosen), tuple(notes), tuple(new),
    )  # fmt: skip


def _named(shape: Shape, name: str) -> Column | None:
    return next((column for column in shape.columns if column.name == name), None)


def _check_renamed(then: Shape, now: Shape, renamed: Mapping[str, str]) -> None:
    for before, after in renamed.items():
        for name, shape in ((before, then), (after, now)):
            if _named(shape, name) is None:
                raise OperationFailed(
                    _("%(table)s has no column %(name)s. It has: %(known)s")
                    % {"table": shape.table, "name": name, "known": ", ".join(shape.names)}, permanent=True,
                )  # fmt: skip


def _key(now: Shape, names: Sequence[str], wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """The columns of the key, and what is to be said of it."""
    if list(wanted) == ["*"]:
        return [], [_("Whole rows are compared, as many as there are of each.")]
    if unknown := [name for name in wanted if name not in names]:
        raise OperationFailed(
            _("%(name)s is no column that both tables have. Those are: %(known)s")
            % {"name": ", ".join(unknown), "known": ", ".join(names)}, permanent=True,
        )  # fmt: skip
    if wanted:
        unique = any(set(one) <= set(wanted) for one in (now.primary, *now.uniques) if one)
        said = _("The chosen key is not unique: rows of the same key are shown as deleted and added.")
        return list(wanted), [] if unique else [said]
    for one in (now.primary, *now.uniques):
        if one and set(one) <= set(names):
            said = _("There is no primary key: rows are told apart by %(names)s.") % {"names": ", ".join(one)}
            return list(one), [] if one == now.primary else [said]
    return [], [
        _(
            "There is no primary key, nor another unique one: whole rows are compared, as many as there are of each."
        )
    ]


def _told(
    then: Shape, now: Shape, there: Sequence[tuple[Column, Column]], gone: Sequence[str], new: Sequence[str]
) -> list[str]:
    notes = []
    if then.table != now.table:
        notes.append(_("Compared with %(now)s, which was %(then)s.") % {"then": then.table, "now": now.table})
    if gone:
        notes.append(_("No longer in production, and left out: %(names)s.") % {"names": ", ".join(gone)})
    if new:
        notes.append(
            _("New in production since, and left out (rows that come back get the default): %(names)s.")
            % {"names": ", ".join(new)}
        )
    changed = [f"{two.name} ({one.type} → {two.type})" for one, two in there if one.type != two.type]
    if changed:
        notes.append(_("Of another type since: %(names)s.") % {"names": ", ".join(changed)})
    return notes


def without(common: Common, columns: Sequence[str]) -> Common:
    """The same comparison without some columns (of production), which are no part of the key."""
    kept = [at for at, column in enumerate(common.now) if column.name not in columns or at in common.key]
    return replace(
        common, then=tuple(common.then[at] for at in kept), now=tuple(common.now[at] for at in kept),
        key=tuple(kept.index(at) for at in common.key),
    )  # fmt: skip
