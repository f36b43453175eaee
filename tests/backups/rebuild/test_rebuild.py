"""On an empty machine: every row comes back from the storage alone."""

import json
import shutil

import pytest

from backups import due, rebuild, verify
from backups.destinations import local
from backups.keep import prune
from backups.models import Copy, Destination, Plan, Rebuild, RecoveryKey, Set, Source, Verification
from drcenter.errors import OperationFailed
from drcenter.jobs.models import Job
from drcenter.jobs.work import run_job
from drcenter.secrets import Secret
from drcenter.systems.models import Contact, System, Target
from tests.backups.rebuild.catalogue import lose_everything, rows
from tests.backups.taking import channel, good, quick, root, verified

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


@pytest.fixture
def taken_before(plan, database, key):
    """Two sets, one of them verified again, of a system that says much of itself."""
    System.objects.update(
        description="The shop", pause_command=[["true"]], commands_directory="/srv/shop", commands_user="www"
    )
    Target.objects.create(system=plan.system, data_class="critical", rto_minutes=60, rpo_minutes=60)
    Contact.objects.create(system=plan.system, name="Anna", phone="+49 30 1")
    Plan.objects.update(cron="15 3 * * *", target_age_hours=30, bandwidth_mib=50)
    plan.refresh_from_db()
    first = good(plan)
    good(plan)
    verified(first.copies.get(), "proven", key.identity)
    return first


def rebuilt(path, *, identity=None, pem="", dry_run=False, name="disk") -> Rebuild:
    place = Destination.objects.filter(options__path=str(path)).first()
    place = place or Destination.objects.create(name=name, kind="local", options={"path": str(path)})
    wanted = rebuild.request(
        place, requested_by="anna", dry_run=dry_run, signing_keys=pem,
        identity=Secret(identity) if identity else None,
    )  # fmt: skip
    run_job(wanted.job_id)
    wanted.refresh_from_db()
    assert wanted.state == Rebuild.State.DONE, (wanted.message, Job.objects.get(pk=wanted.job_id).message)
    return wanted


class TestOnAnEmptyMachine:
    def test_the_rows_equal_those_before(self, taken_before, destination, key, settings, tmp_path) -> None:
        before = rows()
        pem = lose_everything(settings, tmp_path)
        done = rebuilt(root(destination), identity=key.identity, pem=pem)
        assert done.findings == []
        assert rows() == before

    def test_under_another_name_the_place_takes_the_one_of_the_sets(
        self, taken_before, destination, key, settings, tmp_path
    ) -> None:
        before = rows()
        pem = lose_everything(settings, tmp_path)
        rebuilt(root(destination), identity=key.identity, pem=pem, name="mounted")
        assert rows() == before

    def test_it_is_safe_to_run_it_again(self, taken_before, destination, key, settings, tmp_path) -> None:
        pem = lose_everything(settings, tmp_path)
        rebuilt(root(destination), identity=key.identity, pem=pem)
        once = rows()
        again = rebuilt(root(destination), identity=key.identity)
        assert rows() == once
        assert (again.changed, again.counts) == (False, {"ours": 2, "foreign files": 0})

    def test_beside_a_living_catalogue_nothing_changes(self, taken_before, destination, key) -> None:
        before = rows()
        assert not rebuilt(root(destination), identity=key.identity).changed
        assert rows() == before

    def test_both_destinations_of_a_plan(
        self, second, taken_before_two, destination, key, settings, tmp_path
    ) -> None:
        before = rows()
        paths = [root(destination), root(second)]
        pem = lose_everything(settings, tmp_path)
        rebuilt(paths[0], identity=key.identity, pem=pem)
        rebuilt(paths[1], identity=key.identity)
        assert rows() == before

    @pytest.fixture
    def taken_before_two(self, second, plan, key):
        one = good(plan)
        verified(one.copies.get(destination=second), "intact", key.identity)

    def test_a_dry_run_changes_nothing(self, taken_before, destination, key, settings, tmp_path) -> None:
        pem = lose_everything(settings, tmp_path)
        done = rebuilt(root(destination), identity=key.identity, pem=pem, dry_run=True)
        assert done.counts == {"ours": 2, "sets added": 2, "copies added": 2, "foreign files": 0}
        assert not Set.objects.exists() and not System.objects.exists() and not Rebuild.objects.waits()


class TestWithoutAnIdentity:
    def test_what_the_clear_manifest_holds_is_there_and_the_rest_is_named(
        self, taken_before, destination, key, settings, tmp_path
    ) -> None:
        pem = lose_everything(settings, tmp_path)
        done = rebuilt(root(destination), pem=pem)
        assert "No identity was brought" in done.findings[0]
        one = Set.objects.get(identifier=taken_before.identifier)
        assert (one.level, one.recipients, one.parts.count()) == ("proven", [key.recipient], 2)
        assert [check.reached for check in Verification.objects.filter(copy__set=one)] == ["proven", "proven"]
        assert {part.plain_blake3 for part in one.parts.all()} == {""}
        assert (Plan.objects.get().enabled, Source.objects.first().options) == (False, {})

    def test_the_identity_may_come_later(self, taken_before, destination, key, settings, tmp_path) -> None:
        before = rows()
        pem = lose_everything(settings, tmp_path)
        rebuilt(root(destination), pem=pem)
        rebuilt(root(destination), identity=key.identity)
        assert rows() == before

    def test_a_rebuilt_set_restores_and_is_proven(
        self, taken_before, destination, key, settings, tmp_path
    ) -> None:
        pem = lose_everything(settings, tmp_path)
        rebuilt(root(destination), pem=pem)
        check = verified(Copy.objects.first(), "proven", key.identity)
        assert (check.state, check.message) == ("passed", "")


class TestWhatWaits:
    def test_pruning_and_the_schedule_wait_for_a_person(
        self, taken_before, destination, key, settings, tmp_path, time_machine
    ) -> None:
        pem = lose_everything(settings, tmp_path)
        done = rebuilt(root(destination), identity=key.identity, pem=pem)
        assert "nobody has confirmed it" in Rebuild.objects.waits()
        with pytest.raises(OperationFailed, match="nobody has confirmed it"):
            prune.request(Plan.objects.get(), requested_by="anna")
        time_machine.shift(3 * 86400)
        due.take_due()
        assert not Set.objects.exclude(state=Set.State.COMPLETE).exists()
        rebuild.confirm(done, "anna")
        assert Rebuild.objects.waits() == ""
        assert prune.request(Plan.objects.get(), requested_by="anna")
        time_machine.shift(86400)
        due.take_due()
        assert Set.objects.filter(state=Set.State.WAITING).count() == 1


class TestHostileStorage:
    def lost(self, destination, settings, tmp_path):
        return lose_everything(settings, tmp_path), root(destination)

    def folder(self, destination, one):
        return root(destination) / one.prefix

    def test_a_set_of_an_unknown_key_is_only_to_be_read(
        self, taken_before, destination, key, settings, tmp_path
    ) -> None:
        path = root(destination)
        pem = lose_everything(settings, tmp_path)
        done = rebuilt(path, identity=key.identity)
        assert done.counts["foreign"] == 2 and "never changed" in done.findings[0]
        assert set(Set.objects.values_list("foreign", "plan", "level")) == {(True, None, "stored")}
        assert not Set.objects.ours().exists() and not Plan.objects.exists()
        again = rebuilt(path, identity=key.identity, pem=pem)
        assert again.counts["sets adopted"] == 2
        assert not Set.objects.filter(foreign=True).exists()

    def test_a_newer_manifest_is_refused_with_a_sentence_and_counted(self, taken_before, destination) -> None:
        manifest = self.folder(destination, taken_before) / "manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"version": 99}))
        done = rebuilt(root(destination))
        assert done.counts["newer"] == 1
        assert any("has the format 99" in text for text in done.findings)

    def test_a_changed_manifest_is_refused(self, taken_before, destination, settings, tmp_path) -> None:
        manifest = self.folder(destination, taken_before) / "manifest.json"
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"plan": "evil"}))
        pem = lose_everything(settings, tmp_path)
        done = rebuilt(root(destination), pem=pem)
        assert (done.counts["refused"], Set.objects.count()) == (1, 1)
        assert any("not the one that its checksums name" in text for text in done.findings)

    def test_another_sets_manifest_is_refused(self, taken_before, destination) -> None:
        other = Set.objects.exclude(pk=taken_before.pk).get()
        for name in ("manifest.json", "checksums.txt", "checksums.txt.sig"):
            (self.folder(destination, other) / name).write_bytes(
                (self.folder(destination, taken_before) / name).read_bytes()
            )
        done = rebuilt(root(destination))
        assert done.counts["refused"] == 1 and any("swapped" in text for text in done.findings)

    def test_a_missing_part_makes_the_copy_damaged(
        self, taken_before, destination, key, settings, tmp_path
    ) -> None:
        part = taken_before.parts.first()
        (self.folder(destination, taken_before) / part.key).unlink()
        pem = lose_everything(settings, tmp_path)
        rebuilt(root(destination), identity=key.identity, pem=pem)
        copy = Copy.objects.get(set__identifier=taken_before.identifier)
        assert (copy.state, copy.level, copy.set.level) == ("damaged", "", "")
        assert "is missing" in copy.message

    def test_foreign_files_and_broken_off_tries_are_left_alone_and_counted(
        self, taken_before, destination
    ) -> None:
        place = root(destination)
        (place / "holiday.jpg").write_bytes(b"x")
        (place / "shop" / "20260101T000000Z-00000000-a1").mkdir()
        (place / "shop" / "20260101T000000Z-00000000-a1" / "log.txt").write_text("x")
        done = rebuilt(place)
        assert done.counts == {"ours": 2, "unfinished": 1, "foreign files": 1}
        assert (place / "holiday.jpg").exists()

    @pytest.mark.parametrize(
        "content", [b"", b"[]", b"{", b"{" * 100_000, b'{"version": true}', bytes(17 << 20)]
    )
    def test_garbage_in_place_of_a_manifest_stops_nothing(self, taken_before, destination, content) -> None:
        (self.folder(destination, taken_before) / "manifest.json").write_bytes(content)
        done = rebuilt(root(destination))
        assert (done.counts["refused"], done.counts["ours"]) == (1, 1)

    def test_a_record_of_another_set_or_changed_is_left_out(
        self, taken_before, destination, key, settings, tmp_path
    ) -> None:
        other = Set.objects.exclude(pk=taken_before.pk).get()
        record = next((self.folder(destination, other) / "records").iterdir())
        (self.folder(destination, taken_before) / "records" / record.name).write_bytes(record.read_bytes())
        mine = [
            one
            for one in (self.folder(destination, taken_before) / "records").iterdir()
            if one.name != record.name
        ]
        mine[0].write_text(mine[0].read_text().replace("proven", "stored"))
        pem = lose_everything(settings, tmp_path)
        done = rebuilt(root(destination), identity=key.identity, pem=pem)
        told = " ".join(done.findings)
        assert "belongs to another set" in told and "its signature is not by a key" in told


class TestListings:
    def test_what_is_not_listed_yet_is_asked_for_by_name(
        self, taken_before, destination, key, settings, tmp_path, monkeypatch
    ) -> None:
        before = rows()
        pem = lose_everything(settings, tmp_path)
        original = local.Plugin.list
        late = ("manifest.json", "checksums.txt.sig", "01-database-database.sqlite3.zst.age")
        monkeypatch.setattr(
            local.Plugin, "list",
            lambda self, prefix: (one for one in original(self, prefix) if not one.key.endswith(late)),
        )  # fmt: skip
        done = rebuilt(root(destination), identity=key.identity, pem=pem)
        assert (done.counts["ours"], done.findings) == (2, [])
        assert rows() == before


class TestSuccession:
    def test_a_set_that_is_gone_between_two_others_is_told(
        self, taken_before, plan, destination, key, settings, tmp_path
    ) -> None:
        good(plan)
        shutil.rmtree(self_folder := root(destination) / Set.objects.order_by("pk")[1].prefix)
        assert not self_folder.exists()
        pem = lose_everything(settings, tmp_path)
        done = rebuilt(root(destination), identity=key.identity, pem=pem)
        assert any("Number 2 is not there" in text for text in done.findings)


class TestBroughtBack:
    def test_a_set_that_the_catalogue_had_lost_is_there_again(self, taken_before, destination, key) -> None:
        before = rows()
        Set.objects.filter(pk=taken_before.pk).update(state=Set.State.LOST, level="", message="gone")
        taken_before.copies.update(state=Copy.State.FAILED, level="")
        done = rebuilt(root(destination), identity=key.identity)
        assert done.counts["sets brought back"] == 1
        assert rows() == before

    def test_what_runs_is_left_alone(self, taken_before, destination) -> None:
        Set.objects.filter(pk=taken_before.pk).update(state=Set.State.RUNNING)
        Job.objects.filter(pk=taken_before.job_id).update(state="running")
        assert rebuilt(root(destination)).counts["under way"] == 1


def test_bad_words_are_refused(destination) -> None:
    with pytest.raises(OperationFailed, match="no public key"):
        rebuild.request(destination, requested_by="anna", signing_keys="nonsense")
    with pytest.raises(OperationFailed, match="not an age identity"):
        rebuild.request(destination, requested_by="anna", identity=Secret("nonsense"))
    assert not Rebuild.objects.exists()


def test_keys_are_known_again(plan, destination, key, settings, tmp_path) -> None:
    good(plan)
    pem = lose_everything(settings, tmp_path)
    rebuilt(root(destination), identity=key.identity, pem=pem)
    assert RecoveryKey.objects.get().recipient == key.recipient
    assert verify  # imported for its kind
