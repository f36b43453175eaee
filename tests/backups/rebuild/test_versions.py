"""A store that keeps versions: what somebody deleted is found behind its delete markers."""

import pytest

from backups import rebuild
from backups.models import Copy, Destination, Set
from drcenter.jobs.work import run_job
from drcenter.secrets import Secret
from tests.backups.destinations import s3_server
from tests.backups.destinations.conftest import s3_keys, s3_port
from tests.backups.rebuild.catalogue import lose_everything
from tests.backups.taking import channel, good, quick

__all__ = ["channel", "quick", "s3_keys", "s3_port"]
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("quick", "key", "channel", "s3_keys"),
]


@pytest.fixture
def store(plan, s3_port):
    options = s3_server.options(s3_port, s3_server.new_bucket(s3_port, locks=True))
    place = Destination.objects.create(name="store", kind="s3", options=options)
    plan.destinations.set([place])
    return place


def test_a_set_behind_delete_markers_is_found_and_a_visible_one_is_whole(
    plan,
    store,
    key,
    settings,
    tmp_path,
    s3_port,
) -> None:
    hidden, visible = good(plan), good(plan)
    client = s3_server.client(s3_port)
    for one in list(store.build().list(hidden.prefix)):
        client.delete_object(Bucket=store.options["bucket"], Key=f"drc/{one.key}")
    assert list(store.build().list(hidden.prefix)) == []
    options = store.options
    pem = lose_everything(settings, tmp_path)
    place = Destination.objects.create(name="store", kind="s3", options=options)
    wanted = rebuild.request(place, requested_by="anna", identity=Secret(key.identity), signing_keys=pem)
    run_job(wanted.job_id)
    wanted.refresh_from_db()
    assert (wanted.state, wanted.counts["ours"], wanted.counts["hidden"]) == ("done", 2, 1)
    back = Copy.objects.get(set__identifier=hidden.identifier)
    assert (back.state, "behind delete markers" in back.message) == (Copy.State.DAMAGED, True)
    whole = Set.objects.get(identifier=visible.identifier)
    assert (whole.level, whole.copies.get().state) == ("proven", Copy.State.COMPLETE)
