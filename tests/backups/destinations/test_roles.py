"""Each role has its own credentials, or the writer's."""

import pytest

from backups.destinations import build, destinations, shares_writer
from backups.destinations.base import Role
from drcenter.errors import OperationFailed
from drcenter.options import validated

GIVEN = {"bucket": "sets", "access_key": "env:W", "secret_key": "env:WS"}
SPLIT = {
    "prune_access_key": "env:P",
    "prune_secret_key": "env:PS",
    "read_access_key": "env:R",
    "read_secret_key": "env:RS",
}


@pytest.mark.parametrize(
    ("options", "role", "keys"),
    [
        (GIVEN, Role.WRITE, ("env:W", "env:WS")),
        (GIVEN, Role.PRUNE, ("env:W", "env:WS")),
        (GIVEN | SPLIT, Role.WRITE, ("env:W", "env:WS")),
        (GIVEN | SPLIT, Role.PRUNE, ("env:P", "env:PS")),
        (GIVEN | SPLIT, Role.READ, ("env:R", "env:RS")),
    ],
)
def test_a_role_has_its_own_credentials_or_the_writers(options, role, keys):
    built = build("s3", options, role)
    assert (built.options["access_key"], built.options["secret_key"]) == keys


def test_who_shares_the_writers_is_known():
    assert shares_writer("s3", GIVEN, Role.PRUNE)
    assert not shares_writer("s3", GIVEN | SPLIT, Role.PRUNE)
    assert not shares_writer("local", {"path": "/srv"}, Role.PRUNE)


def test_half_a_pair_is_refused():
    with pytest.raises(OperationFailed, match="Give both keys"):
        validated(destinations()["s3"].Options, GIVEN | {"prune_access_key": "env:P"})


def test_the_value_itself_is_refused():
    with pytest.raises(OperationFailed, match="the value itself is not stored"):
        validated(destinations()["s3"].Options, GIVEN | SPLIT | {"read_secret_key": "wJalrXUtn"})
