"""`manage.py backup rebuild-catalog`: also on an empty machine, where no destination is known yet."""

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from backups import destinations, rebuild
from backups.models import Destination, Rebuild
from backups.shell import cli
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.jobs.enqueue import kept_here
from drcenter.jobs.follow import run_here
from drcenter.jobs.models import State
from drcenter.options import validated
from drcenter.stored import shown

# What the counts are called, in the order in which they are told.
LABELS: tuple[tuple[str, Callable[[], str]], ...] = (
    ("ours", lambda: _("sets found")),
    ("foreign", lambda: _("sets of others, only to be read")),
    ("hidden", lambda: _("hidden behind delete markers")),
    ("damaged", lambda: _("copies that lack something")),
    ("refused", lambda: _("refused: not what was signed")),
    ("newer", lambda: _("of a newer version")),
    ("unfinished", lambda: _("without a manifest: under way or broken off")),
    ("log segments added", lambda: _("segments of archived logs added")),
    ("foreign files", lambda: _("foreign files, left alone")),
    ("under way", lambda: _("being written just now")),
    ("removed here", lambda: _("removed here by retention, left alone")),
    ("sets added", lambda: _("sets added")),
    ("sets brought back", lambda: _("sets brought back")),
    ("sets adopted", lambda: _("sets that are ours by the signing key")),
    ("sets completed", lambda: _("sets completed by the identity")),
    ("copies added", lambda: _("copies added")),
    ("verifications added", lambda: _("verifications added")),
    ("pins", lambda: _("pins found")),
)


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "destination", help=_("the name of a destination, or a directory with sets; with --kind a new name")
    )
    parser.add_argument(
        "--kind", choices=sorted(destinations.destinations()), help=_("make it, of this kind")
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=_("an option of the destination, where it is new or elsewhere now"),
    )
    parser.add_argument("--dry-run", action="store_true", help=_("look, and change nothing"))
    parser.add_argument(
        "--identity", metavar="FILE", help=_("an age identity; asked for where there is a terminal")
    )
    parser.add_argument(
        "--signing-key", metavar="FILE", help=_("the public signing key: the text of the kit will do")
    )
    parser.add_argument(
        "--confirm", action="store_true", help=_("let pruning and schedules go on afterwards")
    )


def run(options: dict[str, Any]) -> int:
    """Raises OperationFailed, CommandError."""
    place = _destination(options)
    identity = cli.identity_from(options["identity"], encrypted=True)
    with kept_here():
        wanted = rebuild.request(
            place, requested_by=cli.actor(), dry_run=options["dry_run"], identity=identity,
            signing_keys=_text(options["signing_key"]),
        )  # fmt: skip
    if wanted.job is None:
        raise OperationFailed(_("Its job is gone."))
    job = run_here(wanted.job, sys.stdout, cli.actor())
    wanted.refresh_from_db()
    if job.state != State.SUCCEEDED:
        sys.stderr.write(f"{job.get_state_display()}: {shown(job.message)} {shown(job.hint)}".strip() + "\n")
        return cli.FAILED
    if options["confirm"] and not wanted.dry_run:
        for one in Rebuild.objects.unconfirmed():
            rebuild.confirm(one, cli.actor())
    return _tell(wanted)


def _tell(wanted: Rebuild) -> int:
    """The counts, then what is missing, then what waits."""
    for name, label in LABELS:
        if count := wanted.counts.get(name):
            sys.stdout.write(f"{count:>8,}  {label()}\n")
    for text in wanted.findings:
        sys.stdout.write(f"  {text}\n")
    wanted.refresh_from_db()
    if wanted.dry_run:
        sys.stdout.write(_("Nothing was changed.") + "\n")
    elif wanted.changed and wanted.confirmed_at is None:
        sys.stdout.write(
            _("Pruning and the schedules of rebuilt plans wait until a person confirms it: in the panel, or")
            + f"\n  manage.py backup rebuild-catalog {wanted.destination} --confirm\n"
        )
    return cli.NEEDS_ATTENTION if wanted.findings else cli.FINE


def _destination(options: dict[str, Any]) -> Destination:
    """The row that is named, or a new one. A place is never made ready here: an empty one would be no rebuild."""
    text = options["destination"]
    kind, given = options["kind"], dict(_pair(one) for one in options["option"])
    if known := Destination.objects.filter(name=text).first():
        return _moved(known, given) if given else known
    name = text
    if kind is None and Path(text).is_dir():
        kind, name = "local", "rebuilt"
        given = {"path": str(Path(text).resolve())}
        if known := Destination.objects.filter(kind=kind, options__path=given["path"]).first():
            return known
    if kind is None:
        names = cli.listed(Destination.objects.values_list("name", flat=True), _("none"))
        raise cli.usage(
            _(
                "There is no destination %(name)s. There are: %(known)s. Give a directory, or --kind and --option."
            )
            % {"name": text, "known": names}
        )
    return _made(name, kind, given)


def _moved(row: Destination, given: dict[str, str]) -> Destination:
    """A known destination that is elsewhere now: the same disk under another path, a store with other credentials."""
    row.options = validated(destinations.destinations()[row.kind].Options, row.options | given)
    next(iter(row.build().list("")), None)
    with transaction.atomic():
        row.save(update_fields=["options"])
        record(cli.actor(), "backups.destination.moved", row, options=sorted(given))
    return row


def _made(name: str, kind: str, given: dict[str, str]) -> Destination:
    row = Destination(
        name=name, kind=kind, options=validated(destinations.destinations()[kind].Options, given)
    )
    try:
        row.full_clean()
    except ValidationError as error:
        raise OperationFailed("; ".join(error.messages), permanent=True) from None
    # Out of reach, or not what was meant: known before a row says that it is there.
    next(iter(row.build().list("")), None)
    with transaction.atomic():
        row.save()
        record(cli.actor(), "backups.destination.added", row, kind=kind)
    return row


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise cli.usage(_("Write --option NAME=VALUE, not %(text)s.") % {"text": text})
    return name, value


def _text(path: str | None) -> str:
    if path is None:
        return ""
    try:
        return Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise cli.usage(f"{path}: {error}") from None
