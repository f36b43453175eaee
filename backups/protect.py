"""Turns what was found into rows: a system with its sources, a plan, and a place to keep the sets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils.text import slugify
from django.utils.translation import gettext as _

from backups import engines
from backups.look.proposal import Proposal, ProposedSource, identity
from backups.models.plan import Destination, Plan, Source
from backups.models.profile import Profile
from drcenter.audit.record import record
from drcenter.errors import OperationFailed
from drcenter.options import validated
from drcenter.secrets import Secret
from drcenter.systems.models import System, Target

PLAN = "daily"
CRON = "0 2 * * *"
# Minutes until it runs again, and minutes that may be lost: a daily plan loses up to a day.
TARGETS = {
    Target.DataClass.CRITICAL: (60, 1440),
    Target.DataClass.APPLICATION: (240, 1440),
    Target.DataClass.WHOLE: (480, 1440),
}
LONGEST_SLUG = 50

Row = TypeVar("Row", bound=models.Model)


@dataclass
class Protected:
    """What was created. `destination_is_new`: its directory is on this machine."""

    system: System
    plan: Plan
    sources: list[Source] = field(default_factory=list)
    system_is_new: bool = True
    destination_is_new: bool = False
    secret_files: list[Path] = field(default_factory=list)


def known_system(proposal: Proposal) -> System | None:
    """The system that this proposal is about, if it is protected already: by its directory or a source."""
    if proposal.directory:
        found = System.objects.filter(commands_directory=proposal.directory).first()
        if found is not None:
            return found
    known = _known_sources()
    return next(
        (
            known[source.identity].system
            for source in proposal.sources
            if source.identity in known and not source.of_machine
        ),
        None,
    )


def new_sources(proposal: Proposal) -> list[ProposedSource]:
    """The sources of the proposal that no row has yet, reachable or not."""
    known, system = _known_sources(), known_system(proposal)
    # What is there of the machine changes with its packages: then it is the same source, and not a second one.
    own = set(system.sources.values_list("name", "engine")) if system else set()
    return [
        source
        for source in proposal.sources
        if ((source.name, source.engine) not in own if source.of_machine else source.identity not in known)
    ]


def _known_sources() -> dict[tuple[object, ...], Source]:
    return {identity(row.engine, row.options): row for row in Source.objects.select_related("system")}


def create(
    proposal: Proposal, actor: str, references: Mapping[str, str] | None = None, profile: str = ""
) -> Protected:
    """Create the rows for everything new that can be reached, in one transaction with its audit entry.

    `references` maps an option to a reference given by the operator; other secrets are written to files
    of mode 0600 below the state directory. `profile`: of the plan, if it is a new one. Raises OperationFailed when there is nothing to create.
    """
    sources = [source for source in new_sources(proposal) if source.problem is None]
    if not sources:
        raise OperationFailed(_("There is nothing to create."), permanent=True)
    written: list[Path] = []
    try:
        with transaction.atomic():
            return _create(proposal, sources, actor, references or {}, written, profile)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def _create(  # noqa: PLR0913, PLR0917 - what `create` was given
    proposal: Proposal,
    sources: list[ProposedSource],
    actor: str,
    references: Mapping[str, str],
    written: list[Path],
    profile: str,
) -> Protected:
    known = known_system(proposal)
    system = known or _system(proposal)
    places, is_new = _destinations()
    plan = system.plans.filter(name=PLAN).first() or _plan(system, places, profile)
    done = Protected(system, plan, [], known is None, is_new, written)
    for source in sources:
        secrets = {
            # What the operator names is the database's.
            name: ("" if source.of_machine else references.get(name))
            or _written(system, source, name, secret, written)
            for name, secret in source.secrets.items()
        }
        done.sources.append(_source(system, source, secrets))
    if plan.profile is None:
        plan.sources.add(*done.sources)
    record(
        actor, "system.protect", system, sources=[row.name for row in done.sources], plan=str(plan),
        destinations=[place.name for place in places], place=proposal.directory or sources[0].target,
    )  # fmt: skip
    return done


def _system(proposal: Proposal) -> System:
    system = _saved(
        System(
            slug=free_slug(proposal.name), name=proposal.name[:120], description=proposal.description,
            time_zone=settings.DISPLAY_TIME_ZONE, pause_command=proposal.pause, resume_command=proposal.resume,
            after_restore_command=proposal.after_restore, commands_directory=proposal.directory,
            commands_user=proposal.user, address=_address(proposal),
        )
    )  # fmt: skip
    for data_class, (rto, rpo) in TARGETS.items():
        _saved(Target(system=system, data_class=data_class, rto_minutes=rto, rpo_minutes=rpo))
    return system


def _address(proposal: Proposal) -> str:
    """What the application says its address is, unless that is none, or the one that Laravel brings."""
    if urlsplit(proposal.address).hostname in {"localhost", "127.0.0.1"}:
        return ""
    try:
        System._meta.get_field("address").clean(proposal.address, None)
    except ValidationError:
        return ""
    return proposal.address


def free_slug(name: str) -> str:
    """A key for the system that no other has."""
    base = slugify(name)[:LONGEST_SLUG].strip("-_").replace("_", "-") or "system"
    taken = set(System.objects.filter(slug__startswith=base).values_list("slug", flat=True))
    number, slug = 1, base
    while slug in taken:
        number += 1
        slug = f"{base}-{number}"
    return slug


def _destinations() -> tuple[list[Destination], bool]:
    """Every enabled destination; without any, a new directory on this machine, made ready."""
    existing = list(Destination.objects.filter(enabled=True))
    if existing:
        return existing, False
    path = str(Path(settings.STATE_DIR) / "sets")
    name = "local" if not Destination.objects.filter(name="local").exists() else "local-sets"
    row = _saved(Destination(name=name, kind="local", options={"path": path}))
    row.build().prepare()
    return [row], True


def _plan(system: System, places: list[Destination], profile: str) -> Plan:
    chosen = Profile.objects.get(slug=profile) if profile else None
    plan = _saved(Plan(system=system, name=PLAN, cron=CRON, time_zone=system.time_zone, profile=chosen))
    plan.destinations.set(places)
    return plan


def _source(system: System, source: ProposedSource, secrets: Mapping[str, str]) -> Source:
    form = engines.engines()[source.engine].Options
    options = validated(form, {**source.options, **secrets})
    taken = set(system.sources.values_list("name", flat=True))
    name, number = source.name, 1
    while name in taken:
        number += 1
        name = f"{source.name}-{number}"
    return _saved(Source(system=system, name=name, engine=source.engine, tier=source.tier, options=options))


def _written(system: System, source: ProposedSource, option: str, secret: Secret, written: list[Path]) -> str:
    """Put the secret into a file of mode 0600 of its own; the reference to it."""
    directory = Path(settings.STATE_DIR) / "secrets"
    directory.mkdir(mode=0o700, exist_ok=True)
    ending = "" if option == "password" else f"-{option}"
    path = _free(directory / f"{system.slug}-{source.name}{ending}")
    try:
        path.touch(mode=0o600, exist_ok=False)
        written.append(path)
        path.write_text(secret.reveal())
    except OSError as error:
        raise OperationFailed(
            _("The secret cannot be written to {path}: {reason}.").format(path=path, reason=error.strerror),
            _("Name a reference instead: --password-ref env:NAME or file:/path."),
        ) from None
    return f"file:{path}"


def _free(path: Path) -> Path:
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}-{number}")
    return found


def _saved(row: Row) -> Row:
    """Save what its own rules allow. Raises OperationFailed that names what they refuse."""
    try:
        row.full_clean()
    except ValidationError as error:
        raise OperationFailed("; ".join(error.messages), permanent=True) from None
    row.save()
    return row
