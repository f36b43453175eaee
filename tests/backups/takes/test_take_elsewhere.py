"""Whole sets at destinations that are reached over their own protocols: taken, proven, verified again, removed."""

import pytest

from backups.models import Destination, Level
from tests.backups.destinations import azurite
from tests.backups.destinations.conftest import azure_key, azure_port, google, sftp, short_pauses
from tests.backups.taking import good, objects_in, quick, sets_in, verified

__all__ = ["azure_key", "azure_port", "google", "quick", "sftp", "short_pauses"]
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("quick", "key", "short_pauses"),
]


@pytest.fixture(params=["sftp", "azure", "gcs"])
def elsewhere(request, plan, tmp_path):
    """The only destination of the plan."""
    if request.param == "sftp":
        options = request.getfixturevalue("sftp").options()
    elif request.param == "azure":
        request.getfixturevalue("azure_key")
        options = azurite.options(request.getfixturevalue("azure_port"))
    else:
        options = request.getfixturevalue("google").options(tmp_path)
    row = Destination.objects.create(name=request.param, kind=request.param, options=options)
    row.build().prepare()
    plan.destinations.set([row])
    return row


def test_a_set_is_taken_verified_and_removed(plan, elsewhere, key):
    plan.level = Level.PROVEN
    plan.save()
    one = good(plan)
    assert len(sets_in(elsewhere)) == 1
    check = verified(one.copies.get(), Level.PROVEN, key.identity)
    assert (check.state, check.reached) == ("passed", Level.PROVEN)
    assert check.differences == []
    store = elsewhere.build()
    for stored in [*store.list_versions(one.prefix)]:
        store.delete_version(stored.key, stored.version)
    assert objects_in(elsewhere) == []
