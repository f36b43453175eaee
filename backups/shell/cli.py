"""What the commands `backup` and `recover` share: finding rows by the names people type, and exit codes."""

import getpass
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings
from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from backups import profiles
from backups.models import Copy, Destination, Plan, Profile, Set
from backups.models.level import RANK
from backups.status import damage, damaged
from drcenter.errors import OperationFailed
from drcenter.secrets import Secret
from drcenter.systems.models import System

FINE, FAILED, USAGE, NEEDS_ATTENTION = 0, 1, 2, 3
# Sets that are named when one is not found.
SHOWN = 3


def actor() -> str:
    """Who the audit trail says acted on the shell."""
    return f"shell:{os.environ.get('SUDO_USER') or getpass.getuser()}"


def usage(message: str) -> CommandError:
    """As the error of a command that was called wrongly."""
    return CommandError(message, returncode=USAGE)


def failed(error: OperationFailed) -> CommandError:
    """As the command's error: the sentence and the hint."""
    return CommandError(str(error), returncode=FAILED)


def listed(names: Iterable[str], otherwise: str) -> str:
    return ", ".join(names) or otherwise


def system_named(slug: str) -> System:
    """Raises CommandError that lists what there is."""
    found = System.objects.filter(slug=slug).first() or System.objects.filter(name=slug).first()
    if found is None:
        known = listed(
            System.objects.order_by("slug").values_list("slug", flat=True),
            _("none yet: manage.py protect PATH_OR_URL"),
        )
        raise usage(_("There is no system %(slug)s. There are: %(known)s") % {"slug": slug, "known": known})
    return found


def plan_of(system: System, name: str | None) -> Plan:
    """The plan of that name or profile, or the only one. Raises CommandError that lists them when it has to be named."""
    plans = list(system.plans.filter(name=name) if name is not None else system.plans.all())
    if len(plans) == 1:
        return plans[0]
    if name is None:
        known = listed(system.plans.values_list("name", flat=True), _("none"))
        raise usage(_("Name one of its plans or a profile with --profile: %(known)s") % {"known": known})
    return profiles.plan_for(system, profile_named(name, system), requested_by=actor())


def profile_named(slug: str, system: System) -> Profile:
    """Raises CommandError that lists the plans of the system, and the profiles."""
    found = Profile.objects.filter(slug=slug).first()
    if found is None:
        names = {
            "system": system.slug, "name": slug,
            "known": listed(system.plans.values_list("name", flat=True), _("none")),
            "profiles": ", ".join(Profile.objects.values_list("slug", flat=True)),
        }  # fmt: skip
        raise usage(_("%(system)s has no plan %(name)s. It has: %(known)s. Profiles: %(profiles)s") % names)
    return found


def set_named(text: str) -> Set:
    """A set by `system/identifier`, by identifier, or the newest usable one of a system.

    Raises CommandError that lists what there is.
    """
    slug, slash, identifier = text.rpartition("/")
    sets = Set.objects.complete().filter(identifier=identifier)
    if slash:
        sets = sets.filter(system__slug=slug)
    if identifier and (found := sets.first()) is not None:
        return found
    system = System.objects.filter(slug=text).first() or System.objects.filter(name=text).first()
    if system is not None and (newest := newest_of(system)) is not None:
        return newest
    if system is not None and (broken := newest_damaged(system)) is not None:
        raise CommandError(told_damaged(broken), returncode=FAILED)
    raise usage(
        _("There is no complete set %(text)s. %(known)s") % {"text": text, "known": _known_sets(slug, system)}
    )


def newest_of(system: System) -> Set | None:
    """The newest complete set with a copy that is not damaged (`SetQuerySet.newest_usable`)."""
    return system.sets.newest_usable()


def newest_damaged(system: System) -> Set | None:
    """The newest set of the system, if it is damaged."""
    sets = system.sets.complete().exclude(reason__in=Set.ASIDE).order_by("foreign", "-moment", "-pk")
    newest = sets.filter(partial="").first() or sets.first()
    return newest if newest is not None and damaged(newest) else None


def told_damaged(one: Set) -> str:
    """What is known of the damage, and which set to take instead."""
    text = _("The set %(set)s is damaged: %(what)s.") % {"set": one, "what": damage(one).rstrip(".")}
    good = newest_of(one.system)
    if good is None:
        return f"{text} " + _("No other set of the system is good.")
    return f"{text} " + _("The newest good one: --set %(good)s") % {"good": good}


def _known_sets(slug: str, system: System | None) -> str:
    sets = Set.objects.complete().order_by("-pk")
    system = system or System.objects.filter(slug=slug).first()
    if system is not None:
        sets = sets.filter(system=system)
    names = [str(one) for one in sets.select_related("system")[:SHOWN]]
    if not names and system is not None:
        return _("%(system)s has none yet: manage.py backup run %(system)s --wait") % {"system": system.slug}
    if not names:
        return _("There is none yet: manage.py backup run SYSTEM --wait")
    return _("The newest: %(names)s; manage.py backup list shows more.") % {"names": ", ".join(names)}


def copy_of(one: Set, destination: str | None) -> Copy:
    """The copy at `destination`, or the best one. Raises CommandError when there is none that is complete."""
    copies = list(one.copies.select_related("destination"))
    known = listed(
        sorted(f"{copy.destination.name} ({copy.get_state_display()})" for copy in copies), _("none")
    )
    if destination is not None and not Destination.objects.filter(name=destination).exists():
        raise usage(
            _("There is no destination %(name)s. The set %(set)s has copies at: %(known)s")
            % {"name": destination, "set": one, "known": known}
        )
    good = [
        copy
        for copy in copies
        if copy.state == Copy.State.COMPLETE and destination in {None, copy.destination.name}
    ]
    if not good and damaged(one):
        raise CommandError(told_damaged(one), returncode=FAILED)
    if not good:
        text = _("The set %(set)s has no complete copy there. Its copies: %(known)s")
        raise CommandError(text % {"set": one, "known": known}, returncode=FAILED)
    return max(good, key=lambda copy: (RANK[copy.level], -copy.pk))


def identity_from(file: str | None, *, encrypted: bool) -> Secret | None:
    """An identity from a file, or typed without echo where there is a terminal; None for the drill identity."""
    if file is not None:
        try:
            return Secret(Path(file).read_text())
        except OSError as error:
            raise usage(f"{file}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise usage(_("%(file)s is no identity file.") % {"file": file}) from None
    if not encrypted or settings.DRILL_IDENTITY or not sys.stdin.isatty():
        return None
    typed = getpass.getpass(_("Identity (AGE-SECRET-KEY-…, empty for none): "))
    return Secret(typed) if typed.strip() else None


def destinations_of(name: str | None) -> list[Destination]:
    """The destination of that name, or all that are enabled. Raises CommandError that lists what there is."""
    found = Destination.objects.filter(name=name) if name else Destination.objects.filter(enabled=True)
    if name and not found.exists():
        known = listed(Destination.objects.order_by("name").values_list("name", flat=True), _("none"))
        raise usage(
            _("There is no destination %(name)s. There are: %(known)s") % {"name": name, "known": known}
        )
    return list(found.order_by("name"))
