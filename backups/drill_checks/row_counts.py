"""Rows of tables: as many as the set says, not none at all, and not far fewer than in the last good drill."""

from collections.abc import Mapping

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.drill_checks.base import Answer, Check, Scene
from backups.witness import Witness
from drcenter.errors import OperationFailed
from drcenter.options import LinesField


class Options(forms.Form):
    source = forms.CharField(
        label=gettext_lazy("Source"), max_length=60, help_text=gettext_lazy("The name of a database of the system.")
    )  # fmt: skip
    tables = LinesField(
        label=gettext_lazy("Tables"), initial=[],
        help_text=gettext_lazy("One per line. Empty: the critical tables of the source."),
    )  # fmt: skip
    fewer = forms.IntegerField(
        label=gettext_lazy("Fewer by percent at most"), initial=20, min_value=0, max_value=100,
        help_text=gettext_lazy("Than in the last good drill: what was deleted by mistake is in every set since."),
    )  # fmt: skip


class Plugin(Check):
    label = gettext_lazy("Row counts")
    Options = Options

    @property
    def told(self) -> str:
        names = ", ".join(self.options["tables"] or []) or _("critical tables")
        return _("%(source)s: rows of %(tables)s, at most %(percent)d %% fewer than last time") % {
            "source": self.options["source"], "tables": names, "percent": self.options["fewer"]}  # fmt: skip

    def run(self, scene: Scene) -> Answer:
        name = self.options["source"]
        place = scene.place(name)
        tables = list(self.options["tables"] or place.options.get("critical_tables") or [])
        if not tables:
            raise OperationFailed(
                _("No tables are named."),
                _("Name them in the check, or as critical tables of the source."),
                permanent=True,
            )
        counted = place.counts(tables)
        faults = wrong(counted, scene.held[name], scene.before.get(name, {}), self.options["fewer"])
        told = ", ".join(f"{table} {rows}" for table, rows in counted.items())
        return Answer(not faults, " ".join(faults) or told, {name: counted})


def wrong(counted: Mapping[str, int], held: Witness, before: Mapping[str, int], fewer: int) -> list[str]:
    """What is wrong with these counts, a sentence each. `fewer`: percent of the rows of `before` that may be gone."""
    faults = []
    for table, rows in counted.items():
        told = _of_set(table, held)
        earlier = before.get(table)
        if told is not None and rows != told:
            faults.append(
                _("%(table)s: %(rows)d rows, the set says %(told)d.")
                % {"table": table, "rows": rows, "told": told}
            )
        if not rows:
            faults.append(_("%(table)s is empty.") % {"table": table})
        elif earlier and rows * 100 < earlier * (100 - fewer):
            faults.append(
                _("%(table)s: %(rows)d rows, in the last good drill it had %(earlier)d.")
                % {"table": table, "rows": rows, "earlier": earlier}
            )
    return faults


def _of_set(table: str, held: Witness) -> int | None:
    """The rows that the witness counted; a name without its schema fits when there is one such table."""
    fitting = [
        one for name, one in held.contents.items() if name == table or name.rpartition(".")[2] == table
    ]
    return fitting[0].count if len(fitting) == 1 else None
