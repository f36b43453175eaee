"""What the commands `backup` and `recover` share: finding rows by the names people type, and exit codes."""

import getpass
import os
import sys
from pathlib import Path

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from backups.models import Copy, Plan, Set
from drcenter.errors import OperationFailed
from drcenter.secrets import Secret
from drcenter.systems.models import System

FINE, FAILED, USAGE, NEEDS_ATTENTION = 0, 1, 2, 3


def actor() -> str:
    """Who the audit trail says acted on the shell."""
    return f"shell:{os.environ.get('SUDO_USER') or getpass.getuser()}"


def system_named(slug: str) -> System:
    """Raises CommandError that lists what there is."""
    found = System.objects.filter(slug=slug).first() or System.objects.filter(name=slug).first()
    if found is None:
        known = ", ".join(System.objects.values_list("slug", flat=True)) or _(
            "none yet: manage.py protect PATH_OR_URL"
        )
        raise CommandError(
            _("There is no system %(slug)s. There are: %(known)s") % {"slug": slug, "known": known},
            returncode=USAGE,
        )
    return found


def plan_of(system: System, name: str | None) -> Plan:
    """The plan of that name, or the only one. Raises CommandError when it has to be named."""
    plans = system.plans.all()
    if name is not None:
        plans = plans.filter(name=name)
    if len(plans) == 1:
        return plans[0]
    known = ", ".join(system.plans.values_list("name", flat=True)) or _("none")
    raise CommandError(
        _("Name one of its plans with --profile: %(known)s") % {"known": known}, returncode=USAGE
    )


def set_named(text: str) -> Set:
    """A set by `system/identifier`, by identifier, or the newest complete one of a system."""
    sets = Set.objects.complete().order_by("-id")
    identifier = text.rpartition("/")[2]
    found = sets.filter(identifier=identifier).first() or sets.filter(system__slug=text).first()
    if found is None:
        raise CommandError(
            _("There is no complete set %(text)s; manage.py backup list shows them.") % {"text": text},
            returncode=USAGE,
        )
    return found


def copy_of(one: Set, destination: str | None) -> Copy:
    """The copy at `destination`, or the best one. Raises CommandError when there is none that is complete."""
    copies = one.copies.filter(state=Copy.State.COMPLETE)
    if destination is not None:
        copies = copies.filter(destination__name=destination)
    best = copies.order_by("-level", "pk").first()
    if best is None:
        raise CommandError(_("The set %(set)s has no complete copy there.") % {"set": one}, returncode=FAILED)
    return best


def identity_from(file: str | None, *, encrypted: bool) -> Secret | None:
    """An identity from a file, or typed without echo where there is a terminal; None for the drill identity."""
    if file is not None:
        try:
            return Secret(Path(file).read_text())
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror}", returncode=USAGE) from None
    from django.conf import settings

    if not encrypted or settings.DRILL_IDENTITY or not sys.stdin.isatty():
        return None
    typed = getpass.getpass(_("Identity (AGE-SECRET-KEY-…, empty for none): "))
    return Secret(typed) if typed.strip() else None


def failed(error: OperationFailed) -> CommandError:
    """As the command's error: the sentence and the hint."""
    return CommandError(str(error), returncode=FAILED)
