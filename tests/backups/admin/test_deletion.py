"""What deleting means is said in words; what others need is kept."""

import pytest
from django.urls import reverse

from backups.models import Plan, RecoveryKey, Set, Source
from drcenter.panel.pages import address
from drcenter.systems.models import System


def test_a_key_that_sets_need_is_kept(as_admin, taken, key):
    taken.recipients = [key.recipient]
    taken.save()
    page = as_admin.get(address(key, "delete")).text
    assert "1 set is encrypted to it." in page and "Retire it instead" in page and "Delete it" not in page
    as_admin.post(address(key, "delete"), {"post": "yes"})
    selected = {"action": "delete_selected", "_selected_action": [key.pk], "post": "yes"}
    page = as_admin.post(reverse("admin:backups_recoverykey_changelist"), selected).text
    assert "1 set is encrypted to it." in page
    assert RecoveryKey.objects.filter(pk=key.pk).exists()


def test_a_key_that_no_set_needs_goes(as_admin, taken, key):
    assert "No set needs it." in as_admin.get(address(key, "delete")).text
    as_admin.post(address(key, "delete"), {"post": "yes"})
    assert not RecoveryKey.objects.exists()


@pytest.mark.parametrize("selected", [False, True])
def test_a_plan_goes_and_its_sets_stay(as_admin, taken, plan, selected):
    rows = {"action": "delete_selected", "_selected_action": [plan.pk]} if selected else {}
    url = reverse("admin:backups_plan_changelist") if selected else address(plan, "delete")
    page = (as_admin.post(url, rows) if selected else as_admin.get(url)).text
    assert "1 set of it stays" in page and "object (" not in page
    assert "No longer backed up by it: database, uploads." in page
    as_admin.post(url, {**rows, "post": "yes"})
    assert not Plan.objects.exists() and Set.objects.exists()


def test_a_plan_that_runs_is_kept(as_admin, plan):
    Set.objects.create(system=plan.system, plan=plan, state="running")
    assert "It is taking a backup" in as_admin.get(address(plan, "delete")).text
    as_admin.post(address(plan, "delete"), {"post": "yes"})
    assert Plan.objects.exists()


def test_a_source_says_which_sets_can_only_be_restored_by_hand(as_admin, taken, database):
    page = as_admin.get(address(database, "delete")).text
    assert "1 set holds its data" in page and "shop: daily" in page and "object (" not in page
    as_admin.post(address(database, "delete"), {"post": "yes"})
    (left,) = Source.objects.all()
    page = as_admin.get(address(left, "delete")).text
    assert "It is the only source of shop: daily" in page
    as_admin.post(address(left, "delete"), {"post": "yes"})
    assert Source.objects.exists()


def test_a_system_and_a_destination_with_sets_stay(as_admin, taken, plan, destination):
    page = as_admin.get(address(plan.system, "delete")).text
    assert "1 set of it is recorded." in page and "permission" not in page
    assert "1 copy is recorded here." in as_admin.get(address(destination, "delete")).text
    for row in (plan.system, destination):
        as_admin.post(address(row, "delete"), {"post": "yes"})
        assert type(row).objects.filter(pk=row.pk).exists()


def test_a_system_without_anything_goes(as_admin, db):
    empty = System.objects.create(slug="wiki", name="Wiki")
    assert "no data is lost" in as_admin.get(address(empty, "delete")).text
    as_admin.post(address(empty, "delete"), {"post": "yes"})
    assert not System.objects.exists()
