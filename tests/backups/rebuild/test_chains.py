"""A chain of increments comes back from the storage alone."""

import pytest

from backups.models import Set, Verification
from tests.backups.rebuild.catalogue import lose_everything, rows
from tests.backups.rebuild.test_rebuild import rebuilt
from tests.backups.takes.test_increments import chain, tree
from tests.backups.taking import channel, quick, root, verified

__all__ = ["chain", "channel", "quick", "tree"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick", "key", "channel")]


def test_the_rows_equal_those_before_and_the_chain_is_proven(chain, destination, key, settings, tmp_path):
    sets, _states = chain
    before = rows()
    pem = lose_everything(settings, tmp_path)
    done = rebuilt(root(destination), identity=key.identity, pem=pem)
    assert done.findings == []
    assert rows() == before
    last = Set.objects.get(identifier=sets[-1].identifier)
    assert {one.identifier for one in last.needs.all()} == {one.identifier for one in sets[:-1]}
    verification = verified(last.copies.get(), "proven", key.identity)
    assert verification.state == Verification.State.PASSED, verification.message
