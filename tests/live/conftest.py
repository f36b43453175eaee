"""The fixtures of the real servers, for all tests in this directory."""

from pathlib import Path

import pytest

from backups import leftovers
from tests.live.postgresql_fixtures import postgresql_database, postgresql_server, postgresql_shop

__all__ = ["postgresql_database", "postgresql_server", "postgresql_shop"]


@pytest.fixture(autouse=True)
def nothing_of_killed_workers(settings):
    """Other tests kill workers, whose scratch places the sweep would take some time later: here at once, so that a test
    which looks for leftovers finds its own only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leftovers, "GRACE", 0.0)
        leftovers.sweep(Path(settings.STATE_DIR) / "scratch", "proof-")
