"""A real Laravel application with a machine around it: everything is proposed, taken as the ultimate profile, and proven."""

import os
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backups import calendar, protect
from backups.engines.command import NOT_PROVEN
from backups.look import Machine, look_at
from backups.models import Level, Part, Profile, Set, Source, Tier
from backups.takes import estimate, take
from drcenter.jobs.work import run_job
from drcenter.management.demo.laravel import create
from tests.backups.engines.test_certificates import certificate, pem

pytestmark = pytest.mark.django_db(transaction=True)
WHO = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org", "GIT_COMMITTER_NAME": "Ada",
       "GIT_COMMITTER_EMAIL": "ada@example.org", "PATH": os.environ["PATH"]}  # fmt: skip
SERVICE = ["sh", "-c", 'printf %s "$1"', "sh", '{"agents": [{"name": "Clinic"}]}']


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    etc = tmp_path / "etc"
    for name, text in (
        ("nginx/nginx.conf", "events {}"),
        ("php/8.2/php.ini", "memory_limit=1"),
        ("crontab", "# none"),
    ):
        (etc / name).parent.mkdir(parents=True, exist_ok=True)
        (etc / name).write_text(text)
    (etc / "letsencrypt/live/shop").mkdir(parents=True)
    (etc / "letsencrypt/live/shop/cert.pem").write_bytes(pem(certificate(10, "shop.example.org")))
    (tmp_path / "crontabs").mkdir()
    (tmp_path / "crontabs/root").write_text("0 2 * * * true\n")
    return Machine(etc, tmp_path / "crontabs")


@pytest.fixture
def application(tmp_path: Path) -> Path:
    root = create(tmp_path / "clinic")
    for name in ("docs/guide.md", "scripts/deploy.sh"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("# Clinic\n")
    (root / ".gitignore").write_text("vendor\nstorage\n.env\ndatabase/*.sqlite*\n")
    for words in (("init", "-q", "-b", "main"), ("add", "."), ("commit", "-q", "-m", "all")):
        subprocess.run(["git", *words], cwd=root, env=WHO, check=True)
    (root / "routes/new.php").write_text("<?php // in no commit")
    return root


def test_every_tier_is_proposed_taken_and_proven(application, machine, key, settings, tmp_path):
    settings.STATE_DIR = tmp_path / "state"
    settings.STATE_DIR.mkdir()
    proposal = look_at(str(application), machine=machine)
    assert [source.name for source in proposal.out_of_reach] == []
    done = protect.create(proposal, "shell:ada", profile="golden")
    ultimate = Profile.objects.get(slug="ultimate")
    assert set(estimate.of_profile(done.system, ultimate).missing) == {Tier.EXTERNAL}
    Source.objects.create(
        system=done.system, name="retell", engine="command", tier=Tier.EXTERNAL,
        options={"argv": SERVICE, "part": "retell", "suffix": "json"},
    )  # fmt: skip
    found = estimate.of_profile(done.system, ultimate)
    assert found.missing == {} and found.problems == []
    expires = datetime.now(UTC) + timedelta(days=10)
    assert any(
        f"expires on {expires:%Y-%m-%d}" in finding.message
        for line in found.lines
        for finding in line.findings
    )

    plans = {plan.name: plan for plan in calendar.set_up(done.system, requested_by="ada")}
    wanted = take.request(plans["monthly"], requested_by="ada")
    run_job(wanted.job.pk)
    taken = Set.objects.get(pk=wanted.pk)
    assert taken.state == Set.State.COMPLETE, taken.message
    assert {part.tier for part in taken.parts.all()} == set(Tier.values)
    # The output of a command can be intact at most; everything else is proven.
    assert taken.level == Level.INTACT
    assert taken.level_reason == f"retell: {NOT_PROVEN}"

    Source.objects.filter(name="retell").update(enabled=False)
    again = take.request(plans["monthly"], requested_by="ada")
    run_job(again.job.pk)
    again.refresh_from_db()
    assert (again.level, again.capped) == (Level.PROVEN, False), again.level_reason
    suffixes = set(Part.objects.filter(set=again).values_list("suffix", flat=True))
    assert suffixes == {"tar", "sqlite3", "sql", "json", "txt", "bundle"}
    with closing(sqlite3.connect(application / "database/database.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM calls").fetchone() == (2500,)
