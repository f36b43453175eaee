"""The fixtures of the real servers, for all tests in this directory."""

from tests.live.postgresql_fixtures import postgresql_database, postgresql_server, postgresql_shop

__all__ = ["postgresql_database", "postgresql_server", "postgresql_shop"]
