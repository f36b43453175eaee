"""Taking a set of a database and a directory to a disk, with real jobs."""

import json
import os
import sqlite3
import subprocess

import pyrage
import pytest

from backups.destinations.base import Space
from backups.destinations.local import MARKER
from backups.destinations.local import Plugin as Local
from backups.engines import files as files_engine
from backups.engines import sqlite as sqlite_engine
from backups.engines.base import Finding
from backups.models import Copy, Destination, Level, RecoveryKey, Set, Verification
from backups.pipe.decode import opened
from backups.places import copying
from backups.storage import publish
from backups.takes import preflight, take
from drcenter.audit.models import Entry
from drcenter.errors import OperationFailed
from drcenter.jobs.models import Job, State
from drcenter.jobs.work import run_job
from tests.backups.taking import (
    assert_secret,
    channel,
    good,
    job_of,
    nothing_stored,
    quick,
    root,
    sets_in,
    taken,
    told,
)  # fmt: skip

__all__ = ["channel", "quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "key", "channel")]


@pytest.fixture
def second(plan, tmp_path):
    place = Destination.objects.create(
        name="second", kind="local", options={"path": str(tmp_path / "second")}
    )
    place.build().prepare()
    plan.destinations.add(place)
    return place


class TestGood:
    def test_it_is_proven_and_says_so_everywhere(self, plan, destination, key) -> None:
        one = good(plan)
        assert (one.level, one.capped, one.encrypted, one.recipients) == (
            "proven",
            False,
            True,
            [key.recipient],
        )
        assert {part.source_name for part in one.parts.all()} == {"database", "uploads"}
        copy = one.copies.get()
        assert (copy.state, copy.level) == (Copy.State.COMPLETE, "proven")
        proof = Verification.objects.get()
        assert (proof.state, proof.reached, proof.differences) == ("passed", "proven", [])
        assert set(proof.facts) == {"database", "uploads"}
        assert [found.identifier for found in sets_in(destination)] == [one.identifier]
        assert set(one.timings) == {"dump", "witness", "read back", "proof"}
        assert job_of(one).state == State.SUCCEEDED
        actions = list(Entry.objects.order_by("pk").values_list("action", flat=True))
        assert actions == ["backups.take.requested", "backups.take.completed", "backups.verify.concluded"]
        assert one.started_at <= one.moment <= one.finished_at

    def test_the_checksums_are_those_of_sha256sum_and_the_signature_is_ours(self, plan, destination) -> None:
        folder = root(destination) / good(plan).prefix
        subprocess.run(["sha256sum", "-c", "--quiet", "checksums.txt"], cwd=folder, check=True)
        (folder / "key.pem").write_text(publish.signing_key().public_pem)
        verify = "openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in checksums.txt -sigfile checksums.txt.sig"
        subprocess.run(verify.split(), cwd=folder, check=True, capture_output=True)

    def test_names_and_digests_are_only_in_the_encrypted_details(self, plan, destination, key) -> None:
        database = plan.sources.get(name="database")
        with sqlite3.connect(database.options["path"]) as connection:
            connection.execute("CREATE TABLE a_telling_name (x)")
            connection.execute("PRAGMA journal_mode=DELETE")  # A finding.
        connection.close()
        one = taken(plan)
        folder = root(destination) / one.prefix
        clear = "".join(
            path.read_text() for path in folder.glob("*") if path.suffix in {".txt", ".json", ".md", ".sh"}
        )
        assert "a_telling_name" not in clear
        assert "WAL" not in clear
        stored = (folder / "details.json.zst.age").open("rb")
        with stored, opened(stored, [pyrage.x25519.Identity.from_str(key.identity)]) as plain:
            content = json.loads(b"".join(iter(lambda: plain.read(1 << 20), b"")))
        assert "a_telling_name" in json.dumps(content["sources"]["database"]["witness"])
        assert "not in WAL mode" in content["log"]
        assert_secret(key.identity, places=[root(destination)])

    def test_without_encryption_it_says_so_loudly(self, plan, destination) -> None:
        plan.encrypt = False
        plan.save()
        one = good(plan)
        assert (one.encrypted, one.recipients) == (False, [])
        assert "does not encrypt" in (root(destination) / one.prefix / "log.txt").read_text()

    def test_this_machine_cannot_read_what_it_wrote(self, plan, destination) -> None:
        part = good(plan).parts.first()
        stored = (root(destination) / part.set.prefix / part.key).read_bytes()
        header = stored[: stored.index(b"\n---")]
        assert header.count(b"-> X25519") == 2  # The recovery key and the one that is thrown away.

    @pytest.mark.parametrize("level", ["stored", "intact"])
    def test_a_plan_without_a_proof(self, plan, level) -> None:
        plan.level = level
        plan.save()
        assert taken(plan).level == "intact"
        assert not Verification.objects.exists()

    def test_success_is_told(self, plan) -> None:
        database = plan.sources.get(name="database")
        with sqlite3.connect(database.options["path"]) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.close()
        one = good(plan)
        assert told()[0][0] == "success" or one.findings
        assert "proven" in told()[0][1]

    def test_asked_twice_for_one_planned_time(self, plan) -> None:
        from django.utils import timezone

        at = timezone.now()
        first, second = (take.request(plan, requested_by="schedule", planned_at=at) for _ in range(2))
        assert first == second
        assert Job.objects.filter(kind=take.KIND).count() == 1

    def test_delivered_twice_it_is_taken_once(self, plan, destination) -> None:
        wanted = take.request(plan, requested_by="anna")
        assert [run_job(wanted.job_id), run_job(wanted.job_id)] == ["succeeded", "skipped"]
        assert len(sets_in(destination)) == 1

    def test_a_clock_that_is_set_back(self, plan, destination, time_machine) -> None:
        first = good(plan)
        time_machine.shift(-30 * 24 * 3600)
        second = good(plan)
        assert second.moment < first.moment
        assert len(sets_in(destination)) == 2


class TestSecondDestination:
    def test_it_gets_the_same_bytes(self, plan, destination, second) -> None:
        one = good(plan)
        first, other = (root(place) / one.prefix for place in (destination, second))
        names = sorted(str(path.relative_to(first)) for path in first.rglob("*") if path.is_file())
        # What is recorded of a copy is its own.
        names = [name for name in names if not name.startswith("records/")]
        assert all((first / name).read_bytes() == (other / name).read_bytes() for name in names)
        assert one.copies.get(destination=second).level == "stored"

    def test_one_that_is_down_costs_its_copy_only(self, plan, destination, second) -> None:
        (root(second) / MARKER).unlink()
        one = taken(plan)
        assert (one.state, one.level) == (Set.State.COMPLETE, "proven")
        copy = one.copies.get(destination=second)
        assert copy.state == Copy.State.FAILED
        assert "is missing in it" in copy.message
        assert "Mount the disk" in copy.message
        assert [finding["source"] for finding in one.findings if finding["source"] == "second"] == ["second"]
        assert told()[-1][0] == "warning"
        assert "second: " in told()[-1][1]

    def test_one_that_fails_half_way_keeps_nothing(self, plan, destination, second, monkeypatch) -> None:
        original = Local.put

        def put(self, key, stream, **more):
            if "second" in str(self._root) and key.endswith("checksums.txt"):
                raise OperationFailed("The disk is full.", "Free space.")
            return original(self, key, stream, **more)

        monkeypatch.setattr(Local, "put", put)
        one = taken(plan)
        assert one.copies.get(destination=second).state == Copy.State.FAILED
        assert nothing_stored(second)
        assert one.level == "proven"

    def test_it_takes_the_dump_when_the_first_one_is_away(self, plan, destination, second) -> None:
        (root(destination) / MARKER).unlink()
        one = taken(plan)
        assert (one.state, one.level) == (Set.State.COMPLETE, "proven")
        assert one.copies.get(state=Copy.State.COMPLETE).destination == second

    def test_damage_at_the_first_one_is_not_copied(self, plan, destination, second, monkeypatch) -> None:
        original = copying.copy

        def copy(source, target, *more):
            part = next((root(destination) / source.prefix / "parts").glob("*"))
            part.write_bytes(part.read_bytes()[:-1])
            return original(source, target, *more)

        monkeypatch.setattr(copying, "copy", copy)
        plan.level = Level.INTACT
        plan.save()
        one = taken(plan)
        assert "damaged where it is copied from" in one.copies.get(destination=second).message
        assert nothing_stored(second)


class TestBad:
    """The row says what happened and what to do, nothing is left, the next run is good."""

    def failed(self, plan, destination, message, hint="") -> Set:
        one = taken(plan)
        assert one.state == Set.State.FAILED
        assert message in one.message
        assert hint in one.hint
        assert job_of(one).state == State.FAILED
        assert nothing_stored(destination)
        assert told()[-1][0] == "failure"
        assert message in told()[-1][1]
        assert not one.copies.exclude(state=Copy.State.FAILED).exists()
        return one

    def test_a_source_that_has_vanished(self, plan, destination) -> None:
        path = plan.sources.get(name="database").options["path"]
        os.rename(path, f"{path}.away")
        self.failed(plan, destination, "shop/database: ")
        os.rename(f"{path}.away", path)
        good(plan)

    def test_a_plan_without_sources(self, plan, destination) -> None:
        plan.sources.update(enabled=False)
        self.failed(plan, destination, "no source that is enabled", "Choose its sources")
        plan.sources.update(enabled=True)
        good(plan)

    def test_no_recovery_key(self, plan, destination, key) -> None:
        RecoveryKey.objects.update(active=False)
        self.failed(plan, destination, "no recovery key", "recovery-kit")
        RecoveryKey.objects.update(active=True)
        good(plan)

    def test_a_tool_that_is_missing(self, plan, destination, monkeypatch, tmp_path) -> None:
        monkeypatch.setattr(files_engine.Plugin, "required_tools", ("no-such-tar",))
        self.failed(plan, destination, "no-such-tar is not installed", "apt-get install")
        monkeypatch.undo()
        from drcenter.jobs import work

        work._Process.stops = False
        good(plan)

    def test_too_little_room(self, plan, destination, monkeypatch) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Local, "space", lambda self: Space(total=10_000, free=100))
            self.failed(plan, destination, "100 bytes free, the set needs about", "add a destination")
        good(plan)

    def test_the_disk_fills_up_half_way(self, plan, destination, monkeypatch) -> None:
        original = Local.put

        def put(self, key, stream, **more):
            if "uploads" in key:
                stream.read(10)
                raise OperationFailed("The disk is full.", "Free space.")
            return original(self, key, stream, **more)

        with monkeypatch.context() as patch:
            patch.setattr(Local, "put", put)
            self.failed(plan, destination, "The disk is full.", "Free space.")
        good(plan)

    def test_what_is_stored_does_not_come_back(self, plan, destination, monkeypatch) -> None:
        original = Local.put

        def put(self, key, stream, **more):
            found = original(self, key, stream, **more)
            if "database" in key:
                path = self._root / key
                content = bytearray(path.read_bytes())
                content[len(content) // 2] ^= 1
                path.write_bytes(content)
            return found

        with monkeypatch.context() as patch:
            patch.setattr(Local, "put", put)
            self.failed(plan, destination, "parts/01-database", "Use another copy")
        good(plan)

    @pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("odd"), SystemExit(3)])
    def test_an_error_that_nobody_expected(self, plan, destination, monkeypatch, error) -> None:
        def broken(self):
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(sqlite_engine._Copy, "witness", broken)
            self.failed(plan, destination, type(error).__name__)
        good(plan)

    def test_a_set_whose_plan_is_gone(self, plan, destination) -> None:
        wanted = take.request(plan, requested_by="anna")
        Set.objects.update(plan=None)
        run_job(wanted.job_id)
        wanted.refresh_from_db()
        assert (wanted.state, wanted.message) == (Set.State.FAILED, "The plan of this set is gone.")

    def test_a_set_that_is_gone(self, plan) -> None:
        wanted = take.request(plan, requested_by="anna")
        Set.objects.all().delete()
        assert run_job(wanted.job_id) == State.FAILED
        assert "does not exist any more" in Job.objects.get(pk=wanted.job_id).message


class TestSize:
    def test_a_collapse_against_earlier_sets_is_a_warning(self, plan, destination) -> None:
        path = plan.sources.get(name="database").options["path"]
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE big AS SELECT randomblob(2000000) AS x")
        connection.close()
        good(plan), good(plan)
        with sqlite3.connect(path) as connection:
            connection.execute("DROP TABLE big")
        connection.execute("VACUUM")
        connection.close()
        one = taken(plan)
        finding = next(finding for finding in one.findings if finding["source"] == "set")
        assert "the last 2 had" in finding["message"]
        assert "lost data" in finding["hint"]
        assert told()[-1][0] == "warning"
        assert one.level == "proven"

    def test_safety_sets_are_no_measure(self, plan) -> None:
        for size in (10_000_000, 10_000_000):
            Set.objects.create(
                system=plan.system, plan=plan, state="complete", reason="safety", plain_size=size
            )
        assert preflight.check_size(Set.objects.create(system=plan.system, plan=plan, plain_size=5)) == []


class TestCapped:
    def test_a_right_that_is_missing_caps_the_set_in_red_with_the_cure(self, plan, monkeypatch) -> None:
        finding = Finding("Triggers are not in the dump.", "GRANT TRIGGER ON app.* TO backup;", caps=True)
        monkeypatch.setattr(sqlite_engine._Copy, "findings", lambda self: [finding])
        one = taken(plan)
        assert (one.state, one.capped, one.level) == (Set.State.COMPLETE, True, "stored")
        assert one.level_reason == "database: Triggers are not in the dump."
        assert one.findings[-1]["hint"] == "GRANT TRIGGER ON app.* TO backup;"
        proof = Verification.objects.get()
        assert (proof.state, proof.reached) == ("undecided", "stored")
        assert told()[-1][0] == "warning"
