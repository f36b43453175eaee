"""Which plans need proof (backups/made_with.py), from the catalogue, and in words."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups import made_with
from backups.made_with import Change, Shown, What
from backups.models import Drill, Level, Plan, Set, Source

# So many of the newest sets that were shown to come back are looked at.
LOOKED_AT = 5
WORDS = {
    What.ADDED: gettext_lazy("the source %(name)s was added"),
    What.REMOVED: gettext_lazy("the source %(name)s was taken out"),
    What.ENGINE: gettext_lazy("%(name)s is read by another engine: %(now)s"),
    What.OPTION: gettext_lazy("%(name)s: the option %(detail)s was changed"),
    What.VERSION: gettext_lazy("%(name)s: version %(before)s became %(now)s"),
    What.PLAN: gettext_lazy("the plan: %(name)s was changed"),
}


def choices(plan: Plan) -> dict[str, Any]:
    """The choices of a plan that change what a set is."""
    return {
        "tables": sorted(plan.tables), "encrypt": plan.encrypt, "increments": bool(plan.increments),
        "store_once": plan.store_once,
        "destinations": sorted(plan.destinations.values_list("name", flat=True)),
    }  # fmt: skip


def as_made(plan: Plan, taken: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What a set of `plan` was made with, for its row. `taken`: of each source its engine, options and facts."""
    own = {one.name: one for one in plan.chosen()}
    sources = {}
    for name, told in taken.items():
        # The plan may narrow it to some tables: that is the plan's choice, not the source's option.
        tables = own[name].options.get("tables") if name in own else told["options"].get("tables")
        sources[name] = made_with.source(told["engine"], {**told["options"], "tables": tables}, told["facts"])
    found = made_with.made(choices(plan), sources)
    return found | {"left_out": sorted(own.keys() - taken.keys())}


def of_plan(plan: Plan) -> list[Change]:
    """What has changed since it was last shown that its sets come back; empty: nothing."""
    sets = plan.sets.complete().exclude(reason__in=Set.ASIDE).filter(apart=False).exclude(made_with={})
    good = sets.filter(Q(level=Level.PROVEN) | Q(drills__outcome=Drill.Outcome.PASSED), capped=False)
    newest = good.order_by("-started_at", "-pk").distinct()[:LOOKED_AT]
    shown = [Shown(one.started_at.timestamp(), one.made_with) for one in newest if one.started_at]
    if not shown:
        return []
    last: Set | None = sets.order_by("-started_at", "-pk").first()
    return made_with.needs_proof(_now(plan, last.made_with if last else {}), shown)


def _now(plan: Plan, last: dict[str, Any]) -> dict[str, Any]:
    """What the next set would be made with. The versions of the servers are those that the last set met."""
    met = last.get("sources", {})
    sources = {one.name: _source(one, met.get(one.name, {}).get("versions", {})) for one in plan.chosen()}
    left_out = last.get("left_out", [])
    return made_with.made(choices(plan), {name: one for name, one in sources.items() if name not in left_out})


def _source(row: Source, versions: dict[str, str]) -> dict[str, Any]:
    return made_with.source(row.engine, row.options, versions)


def told(changes: list[Change]) -> str:
    """Why it needs proof, in a sentence; "" if it does not."""
    if not changes:
        return ""
    what = "; ".join(
        str(WORDS[one.what]) % {"name": one.name, "detail": one.detail, "before": one.before, "now": one.now}
        for one in changes
    )
    return _("It needs proof: since it was last proven or rehearsed, %(what)s.") % {"what": what}
