"""Profiles: which sources a plan takes, and what is said before the first set."""

import json
import os
import time
from io import StringIO
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command

from backups import profiles
from backups.engines import sqlite
from backups.models import Plan, Profile, Set, Source, Tier
from backups.takes import estimate, take
from drcenter.audit.models import Entry
from drcenter.errors import OperationFailed
from drcenter.jobs.work import run_job

pytestmark = pytest.mark.django_db


def run_command(*words: str) -> tuple[int, str]:
    """Exit code and output of manage.py."""
    out = StringIO()
    try:
        call_command(*words, stdout=out)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def profile(slug: str) -> Profile:
    return Profile.objects.get(slug=slug)


def test_the_built_in_ones_are_those_of_the_guide():
    basic = {"application", "database", "configuration", "storage"}
    assert {one.slug: set(one.tiers) for one in Profile.objects.filter(built_in=True)} == {
        "golden": basic,
        "comprehensive": basic | {"system", "scripts", "git"},
        "ultimate": set(Tier.values),
        "external": {"external"},
    }
    assert len(Tier.values) == 12


@pytest.mark.parametrize("tiers", [[], ["database", "nothing"], "database", {"database": 1}, None])
def test_a_profile_is_of_tiers_that_there_are(tiers):
    with pytest.raises(ValidationError):
        Profile(slug="own", name="Own", tiers=tiers).full_clean()


def test_a_plan_with_a_profile_takes_what_is_added_later(plan, database, uploads):
    plan.profile = profile("golden")
    plan.sources.clear()
    plan.save()
    assert list(plan.chosen()) == [database, uploads]
    later = Source.objects.create(
        system=plan.system, name="code", engine="files", tier=Tier.APPLICATION, options={"path": "/srv/code"}
    )
    scripts = Source.objects.create(
        system=plan.system,
        name="scripts",
        engine="files",
        tier=Tier.SCRIPTS,
        options={"path": "/srv/scripts"},
    )
    assert list(plan.chosen()) == [database, uploads, later]
    assert later.taken_by() == [plan] and scripts.taken_by() == []
    Source.objects.filter(pk=later.pk).update(enabled=False)
    assert list(plan.chosen()) == [database, uploads]


def test_without_a_profile_the_picked_sources_are_taken(plan, database, uploads):
    plan.sources.set([uploads])
    assert list(plan.chosen()) == [uploads]
    assert (uploads.taken_by(), database.taken_by()) == ([plan], [])


def test_a_run_by_profile_has_the_sources_of_its_tiers(plan, database, uploads, key):
    Profile.objects.create(slug="data", name="Data", tiers=["database"])
    chosen = profiles.plan_for(plan.system, profile("data"), requested_by="otto")
    assert (chosen.name, chosen.cron, list(chosen.destinations.all())) == (
        "data",
        "",
        list(plan.destinations.all()),
    )
    assert profiles.plan_for(plan.system, profile("data"), requested_by="otto") == chosen, "asked for again"
    assert Entry.objects.filter(action="backups.plan.added", actor="otto").count() == 1
    wanted = take.request(chosen, requested_by="otto")
    run_job(wanted.job.pk)
    assert [part.source_name for part in Set.objects.get(pk=wanted.pk).parts.all()] == ["database"]


def test_a_profile_of_which_there_is_nothing_is_refused(plan):
    with pytest.raises(OperationFailed, match="no source of the profile") as caught:
        profiles.plan_for(plan.system, profile("external"), requested_by="otto")
    assert "estimate" in caught.value.hint
    assert Plan.objects.count() == 1


def test_a_name_that_is_taken_gets_a_number(plan):
    Plan.objects.create(system=plan.system, name="golden")
    assert profiles.free_name(plan.system, "golden") == "golden-2"


def test_the_estimate_says_what_is_there_and_what_is_missing(plan, database, uploads):
    found = estimate.of_profile(plan.system, profile("golden"))
    assert [(line.source, line.size > 0, line.problem) for line in found.lines] == [
        (database, True, None),
        (uploads, True, None),
    ]
    assert set(found.missing) == {Tier.APPLICATION, Tier.CONFIGURATION}
    assert found.plain == sum(line.size for line in found.lines)
    assert 0 < found.stored <= found.plain and not found.complete
    assert [name for name, _findings in found.places] == [place.name for place in plan.destinations.all()]


def test_the_estimate_is_near_what_the_set_has(plan, uploads, key):
    (Path(uploads.options["path"]) / "film").write_bytes(os.urandom(6 << 20))
    wanted = take.request(plan, requested_by="otto")
    expected = estimate.of_plan(plan).plain
    run_job(wanted.job.pk)
    taken = Set.objects.get(pk=wanted.pk)
    assert taken.plain_size * 0.5 <= expected <= taken.plain_size * 2


def test_one_source_that_cannot_be_read_does_not_hide_the_others(plan, database, uploads):
    Source.objects.filter(pk=database.pk).update(options={"path": "/nowhere/shop.sqlite3"})
    found = estimate.of_plan(plan)
    assert [line.source for line in found.problems] == [database]
    assert found.problems[0].problem.message.startswith("/nowhere/shop.sqlite3 cannot be opened")
    assert [line.size > 0 for line in found.lines] == [False, True]
    assert not found.complete


def test_the_command_tells_it(plan, database, uploads):
    code, out = run_command("backup", "estimate", "shop")
    assert code == 0 and "database" in out and "In all" in out
    code, out = run_command("backup", "estimate", "shop", "--profile", "ultimate", "--json")
    found = json.loads(out)
    assert code == 3 and found["complete"] is False
    assert set(found["missing"]) == set(Tier.values) - {"database", "storage"}
    assert "manage.py protect" in found["missing"]["application"]
    assert not Plan.objects.exclude(pk=plan.pk).exists(), "looking creates nothing"


def test_the_command_takes_a_profile(plan, key):
    Profile.objects.create(slug="data", name="Data", tiers=["database"])
    code, out = run_command("backup", "run", "shop", "--profile", "data", "--here")
    assert code == 0, out
    assert Set.objects.get().plan.profile.slug == "data"


def test_a_source_that_hangs_does_not_hang_whoever_looks(plan, database, uploads, monkeypatch):
    monkeypatch.setattr(sqlite.Plugin, "inspect", lambda engine: time.sleep(2))
    began = time.monotonic()
    found = estimate.of_plan(plan, patience=0.2)
    assert time.monotonic() - began < 1.5
    assert [line.source for line in found.problems] == [database]
    assert "No answer within" in found.problems[0].problem.message
