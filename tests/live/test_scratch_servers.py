"""A scratch server that dies while a set is proven in it: nothing is held against the set."""

import os
import signal
from contextlib import contextmanager

import pytest

from backups.engines import mariadb as mariadb_engine
from backups.engines import postgresql as postgresql_engine
from backups.engines.base import NoScratch
from backups.takes.judging import DoesNotRestore, judged
from drcenter.errors import OperationFailed
from tests.live.mariadb_fixtures import database as mariadb
from tests.live.mariadb_fixtures import mariadb_server
from tests.live.postgresql_fixtures import engine_for

__all__ = ["mariadb", "mariadb_server"]


@pytest.fixture(params=["mariadb", "postgresql"])
def engine(request):
    if request.param == "mariadb":
        return mariadb_engine, request.getfixturevalue("mariadb").engine()
    return postgresql_engine, engine_for(
        request.getfixturevalue("postgresql_server"), request.getfixturevalue("postgresql_database")
    )


@pytest.mark.parametrize(("dies", "blamed"), [(True, NoScratch), (False, DoesNotRestore)])
def test_only_a_server_that_lives_speaks_against_a_set(engine, tmp_path, monkeypatch, dies, blamed) -> None:
    module, source = engine
    private_server, running = module.private_server, []

    @contextmanager
    def noted(*args, **more):
        with private_server(*args, **more) as server:
            running.append(server)
            yield server

    monkeypatch.setattr(module, "private_server", noted)
    tmp_path.chmod(0o700)
    with source.scratch(tmp_path, source.inspect().facts) as place:
        place.prepare(overwrite=False)
        with pytest.raises(blamed, match="syntax error"), judged(place):
            if dies:
                os.kill(running[0].pid, signal.SIGKILL)
            raise OperationFailed("ERROR: syntax error at line 3")
