"""What becomes of drills when their system goes."""

import pytest
from django.db.models import ProtectedError

from backups.models import Drill
from drcenter.systems.models import System

pytestmark = pytest.mark.django_db


def test_a_drill_that_was_skipped_goes_with_its_system_and_evidence_keeps_it(system, taken) -> None:
    other = System.objects.create(slug="other", name="Other")
    Drill.objects.create(system=other, requested_by="schedule", outcome="skipped")
    other.delete()
    assert not Drill.objects.exists()
    Drill.objects.create(system=system, set=taken, requested_by="otto", outcome="passed")
    with pytest.raises(ProtectedError):
        system.delete()
