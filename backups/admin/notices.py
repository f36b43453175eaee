"""What the first page says of the DR Center itself: its own database, rebuilds, copies that wait, the rule."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from backups import own
from backups.models import Destination, Rebuild, Recovery
from backups.places import copies, safekeeping
from backups.recovery import break_glass
from drcenter.panel.look import Link, Notice, Tone
from drcenter.panel.pages import address
from drcenter.systems.models import System


def of_house(now: datetime) -> Iterator[Notice]:
    if (wrong := own.fault(now)) is not None:
        found = own.source()
        link = Link(_("System"), address(found.system)) if found else None
        link = link or Link(_("Destinations"), reverse("admin:backups_destination_changelist"))
        yield Notice(*wrong, tone=Tone.WARN, link=link)
    for row in Rebuild.objects.unconfirmed().select_related("destination"):
        yield Notice(
            _("A rebuild of the catalogue waits for a person: %(rebuild)s.") % {"rebuild": row},
            _("Nothing is pruned, and rebuilt plans do not start, until somebody confirms it."),
            Tone.WARN,
            Link(_("Rebuild"), address(row)),
        )
    yield from _waiting()


def of_approvals() -> Iterator[Notice]:
    """Broken glass until somebody has looked at it, and plans that wait for a second person."""
    for one in break_glass.unreviewed():
        yield Notice(
            _("BREAK-GLASS: %(recovery)s, without a second person.") % {"recovery": one.recovery},
            f"{one.by}: {one.reason}",
            link=Link(_("Review"), address(one.recovery)),
        )
    for row in Recovery.objects.filter(state=Recovery.State.PLANNED).select_related("copy__set__system"):
        yield Notice(
            _("It waits for approval: %(recovery)s.") % {"recovery": row},
            f"{row.requested_by}: {row.reason}",
            Tone.WARN,
            Link(_("Look"), address(row)),
        )


def _waiting() -> Iterator[Notice]:
    """Destinations that lack copies, and do not answer."""
    for place in Destination.objects.filter(enabled=True, failures__gt=0):
        if count := copies.missing(place).distinct().count():
            text = ngettext(
                "%(count)d copy waits for %(destination)s, which does not answer.",
                "%(count)d copies wait for %(destination)s, which does not answer.",
                count,
            )
            yield Notice(
                text % {"count": count, "destination": place},
                place.fault or _("They are made up for when it does."),
                Tone.WARN,
                Link(_("Destination"), address(place)),
            )


def of_rule(systems: Iterable[System], now: datetime) -> Iterator[Notice]:
    """One for each thing that is missing, with all systems that lack it: the rule does not hold for them."""
    lacking: dict[str, list[System]] = {}
    for system in systems:
        found = safekeeping.of_system(system, now)
        if not found.holds:
            lacking.setdefault(" ".join(found.missing), []).append(system)
    for missing, those in lacking.items():
        link = Link(_("System"), address(those[0]))
        if len(those) > 1:
            link = Link(_("Systems"), reverse("admin:systems_system_changelist"))
        yield Notice(
            _("%(system)s: three copies, two kinds, one away, one locked: that does not hold.")
            % {"system": ", ".join(system.name for system in those)},
            missing,
            Tone.FAIR,
            link,
        )
