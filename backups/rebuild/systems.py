"""Systems, plans and sources of the sets that are found: bare where no identity opens what is known of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from backups import destinations, engines
from backups.models import Destination, Plan, Profile, Rebuild, RecoveryKey, Retention, Source
from backups.rebuild.read import Kind, Reading
from backups.storage import configuration
from backups.storage.layout import Manifest, ManifestPart
from drcenter.systems.models import Contact, System, Target


@dataclass
class Newest:
    """The newest configuration that was read of something, by its key; sets come in the order of time."""

    systems: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    plans: dict[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)


class Systems:
    """Finds or makes the rows that sets hang on. What is made here, or was left bare by an earlier run, is completed
    at the end with what the newest set says; rows that somebody else made are not touched."""

    def __init__(self) -> None:
        self._systems = {one.slug: one for one in System.objects.all()}
        self._plans = {(one.system_id, one.name): one for one in Plan.objects.all()}
        self._sources = {(one.system_id, one.name): one for one in Source.objects.all()}
        self._newest = Newest()
        self.made: list[models.Model] = []
        self.bare = _left_bare()

    def system(self, reading: Reading) -> System:
        slug = reading.folder.system
        if slug not in self._systems:
            manifest = _manifest(reading)
            row = System(slug=slug, name=manifest.system_name or slug)
            row.full_clean(validate_unique=False)
            row.save()
            self._systems[slug] = row
            self._made(row)
        return self._systems[slug]

    def plan(self, reading: Reading, system: System) -> Plan | None:
        """None for a set of another DR Center: its plan is not ours to run."""
        if reading.kind is Kind.FOREIGN:
            return None
        name = _manifest(reading).plan
        found = self._plans.get((system.pk, name))
        if found is None:
            # Without its configuration nobody knows when, from what and to where: it does nothing by itself.
            found = Plan(system=system, name=name, cron="", enabled=False)
            found.full_clean(validate_unique=False)
            found.save()
            self._plans[(system.pk, name)] = found
            self._made(found)
        return found

    def source(self, reading: Reading, system: System, part: ManifestPart) -> Source | None:
        if reading.kind is Kind.FOREIGN:
            return None
        found = self._sources.get((system.pk, part.source))
        if found is None:
            found = Source(system=system, name=part.source, engine=part.engine, tier=part.tier, enabled=False)
            found.clean_fields(exclude=["system", "engine"])
            found.save()
            self._sources[(system.pk, part.source)] = found
            self._made(found)
        return found

    def note(self, reading: Reading) -> None:
        """Remember what a set that is ours says of its system and its plan."""
        told = (reading.content or {}).get("configuration")
        if isinstance(told, Mapping):
            self._newest.systems[reading.folder.system] = told
            self._newest.plans[(reading.folder.system, _manifest(reading).plan)] = told

    def _made(self, row: models.Model) -> None:
        self.made.append(row)
        self.bare.setdefault(_kind(row), []).append(row.pk)

    # ------------------------------------------------------------------ at the end

    def complete(self) -> None:
        """Give the rows that were made what the newest sets say of them."""
        for slug, told in self._newest.systems.items():
            if slug in self._systems and (system := self._taken(self._systems[slug])):
                configuration.apply(system, told.get("system"))
                _saved(system)
                _related(system, told)
        for (slug, name), told in self._newest.plans.items():
            if slug not in self._systems:
                continue
            system = self._systems[slug]
            self._sources_of(system, told)
            plan = self._plans.get((system.pk, name))
            if plan is not None and (plan := self._taken(plan)):
                self._complete_plan(plan, system, told)

    def _taken(self, row: Any) -> Any:
        """The row, once, if it is bare."""
        keys = self.bare.get(_kind(row), [])
        if row.pk not in keys:
            return None
        keys.remove(row.pk)
        return row

    def _sources_of(self, system: System, told: Mapping[str, Any]) -> None:
        for name, values in _mapping(told.get("sources")).items():
            row = self._sources.get((system.pk, name))
            if row is None:
                row = Source(system=system, name=name)
            elif not self._taken(row):
                continue
            configuration.apply(row, values)
            if row.name == name and row.engine in engines.engines() and _saved(row):
                self._sources[(system.pk, name)] = row

    def _complete_plan(self, plan: Plan, system: System, told: Mapping[str, Any]) -> None:
        configuration.apply(plan, told.get("plan"))
        plan.profile = _profile(told.get("profile"))
        plan.retention = _retention(told.get("retention"))
        if not _saved(plan):
            return
        plan.sources.set(Source.objects.filter(system=system, name__in=told.get("picked") or []))
        for name, values in _mapping(told.get("destinations")).items():
            _destination(name, values)
        plan.destinations.set(Destination.objects.filter(name__in=list(_mapping(told.get("destinations")))))


def _left_bare() -> dict[str, list[int]]:
    """What earlier runs had no identity for, and no later one has completed."""
    newest = Rebuild.objects.filter(dry_run=False, state=Rebuild.State.DONE).order_by("-pk").first()
    return {} if newest is None else {kind: list(keys) for kind, keys in newest.bare.items()}


def _related(system: System, told: Mapping[str, Any]) -> None:
    for name, model in (("targets", Target), ("contacts", Contact)):
        if not model._default_manager.filter(system=system).exists():
            for values in told.get(name) or []:
                row = model(system=system)
                configuration.apply(row, values)
                _saved(row)
    for values in told.get("recovery_keys") or []:
        key = RecoveryKey()
        configuration.apply(key, values)
        if not RecoveryKey.objects.filter(recipient=key.recipient).exists():
            key.held_at = None
            _saved(key)


def _profile(values: Any) -> Profile | None:
    """The profile of that name as it is here; one that is missing as it was."""
    row = Profile()
    configuration.apply(row, values)
    known = Profile.objects.filter(slug=row.slug).first()
    return known or (row if row.slug and _saved(row) else None)


def _retention(values: Any) -> Retention | None:
    """The class of that name as it is here; one that is missing as it was."""
    row = Retention()
    configuration.apply(row, values)
    known = Retention.objects.filter(name=row.name).first()
    return known or (row if row.name and _saved(row) else None)


def _destination(name: str, values: Any) -> None:
    """Another place of the plan, as its options were: it is not opened here."""
    if Destination.objects.filter(name=name).exists():
        return
    row = Destination(name=name)
    configuration.apply(row, values)
    if row.name == name and row.kind in destinations.destinations():
        _saved(row)


def _saved(row: models.Model) -> bool:
    """Save what the row's own rules allow; False for what an older or a newer version wrote differently."""
    try:
        row.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError:
        if row.pk is not None:
            row.refresh_from_db()
        return False
    row.save()
    return True


def _kind(row: models.Model) -> str:
    return str(row._meta.model_name)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _manifest(reading: Reading) -> Manifest:
    if reading.manifest is None:
        raise ValueError("a reading without a manifest has no rows")
    return reading.manifest
