"""The pages for copies, rebuilds, and the rule."""

import pytest
from django.utils import translation

from backups.models import Copy, Destination, Lock, Rebuild
from backups.places import copies, safekeeping
from drcenter.jobs.models import Job
from drcenter.panel.pages import address
from tests.backups.taking import channel, quick, root

__all__ = ["channel", "quick"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def second(tmp_path):
    place = Destination.objects.create(
        name="second", kind="local", options={"path": str(tmp_path / "second")}
    )
    place.build().prepare()
    return place


class TestCopying:
    def test_a_set_is_copied_to_a_chosen_place(self, as_operator, taken, second) -> None:
        assert "Copy to…" in as_operator.get(address(taken)).content.decode()
        page = address(taken, "copy_to")
        assert "no identity is needed" in as_operator.get(page).content.decode()
        assert Copy.objects.count() == 1
        as_operator.post(page, {"destination": second.pk})
        assert taken.copies.get(destination=second).state == Copy.State.WAITING
        assert Job.objects.get(kind=copies.KIND).subject == second.pk

    def test_only_to_where_it_is_not(self, as_operator, taken, destination, second) -> None:
        answer = as_operator.post(address(taken, "copy_to"), {"destination": destination.pk})
        assert answer.status_code == 200 and Copy.objects.count() == 1

    def test_the_newest_sets_are_brought_to_a_new_place(self, as_operator, taken, plan, second) -> None:
        plan.destinations.add(second)
        as_operator.post(address(second, "newest"), {"count": 1})
        assert taken.copies.get(destination=second).state == Copy.State.WAITING
        answer = as_operator.post(address(second, "newest"), {"count": 0})
        assert answer.status_code == 200

    def test_a_viewer_may_not(self, as_viewer, taken, second) -> None:
        assert as_viewer.post(address(taken, "copy_to"), {"destination": second.pk}).status_code == 403
        assert as_viewer.post(address(second, "newest"), {"count": 1}).status_code == 403
        assert Copy.objects.count() == 1

    def test_a_place_that_is_away_is_told_on_the_first_page(self, as_admin, taken, plan, second) -> None:
        plan.destinations.add(second)
        Copy.objects.create(set=taken, destination=second, state=Copy.State.WAITING)
        Destination.objects.filter(pk=second.pk).update(failures=3, fault="The cable is cut.")
        text = as_admin.get("/admin/").content.decode()
        assert "1 copy waits for second, which does not answer." in text and "The cable is cut." in text


class TestRebuilding:
    def test_it_is_asked_for_looked_at_and_confirmed(self, as_admin, destination) -> None:
        answer = as_admin.post(
            address(destination, "rebuild"), {"identity": "", "signing_keys": "", "dry_run": "on"}
        )
        row = Rebuild.objects.get()
        assert (row.dry_run, answer.headers["Location"]) == (True, address(row))
        Rebuild.objects.update(
            dry_run=False,
            state="done",
            changed=True,
            counts={"ours": 3, "sets added": 3},
            findings=["Something is missing."],
        )
        text = as_admin.get(address(row)).content.decode().lower()
        assert "waits for a person" in text and "something is missing." in text and "sets added" in text
        assert "A rebuild of the catalogue waits for a person" in as_admin.get("/admin/").content.decode()
        as_admin.post(address(row, "confirm"))
        assert Rebuild.objects.waits() == ""
        assert "Confirmed." in as_admin.get(address(row)).content.decode()

    def test_what_is_no_key_stays_on_the_page(self, as_admin, destination) -> None:
        answer = as_admin.post(address(destination, "rebuild"), {"signing_keys": "nonsense"})
        assert "holds no public key" in answer.content.decode()
        assert not Rebuild.objects.exists()

    def test_only_who_may(self, as_viewer, destination) -> None:
        assert as_viewer.get(address(destination, "rebuild")).status_code == 403
        assert as_viewer.post(address(destination, "rebuild")).status_code == 403


class TestTheRule:
    def test_what_is_missing_stands_on_the_page_of_the_system_and_the_first_one(
        self, as_viewer, taken
    ) -> None:
        for page in (address(taken.system), "/admin/"):
            text = as_viewer.get(page).content.decode()
            assert "With the original there are 2 copies, not three. Add a destination to the plan." in text
            assert "No copy is away from this site" in text and "No copy is locked" in text

    @pytest.mark.parametrize(
        ("language", "sentence"),
        [
            ("en", "With the original there is 1 copy, not three."),
            ("de", "Mit dem Original gibt es 1 Kopie, nicht drei."),
        ],
    )
    def test_one_copy_is_one(self, taken, language, sentence) -> None:
        taken.copies.update(state=Copy.State.DAMAGED)
        with translation.override(language):
            assert any(sentence in lack for lack in safekeeping.of_system(taken.system).missing)

    def test_it_holds(self, taken, second, plan) -> None:
        from django.utils import timezone

        now = timezone.now()
        Destination.objects.filter(pk=second.pk).update(medium="store", off_site=True)
        far = Copy.objects.create(set=taken, destination=second, state=Copy.State.COMPLETE)
        until = now + timezone.timedelta(days=30)
        Lock.objects.create(copy=far, state=Lock.State.HELD, wanted_until=until, until=until)
        assert safekeeping.of_system(taken.system).holds
        assert not safekeeping.of_system(taken.system, until).holds
        assert root(second)
