import pytest

from backups.look.database_url import read
from drcenter.errors import OperationFailed

MARIADB = {"host": "db1", "port": 3306, "user": "app", "database": "shop"}
POSTGRESQL = {"host": "db1", "port": 5432, "user": "app", "database": "shop"}


@pytest.mark.parametrize(
    ("url", "engine", "options", "password"),
    [
        ("mysql://app:pw@db1/shop", "mariadb", MARIADB, "pw"),
        ("mariadb://app@db1/shop", "mariadb", MARIADB, None),
        ("MySQL://app:@db1:3307/shop", "mariadb", MARIADB | {"port": 3307}, ""),
        ("mysql://app:p%40s%2Fs%23w%3Ao%25rd@db1/shop", "mariadb", MARIADB, "p@s/s#w:o%rd"),
        ("mysql://app:p@ss@db1/shop", "mariadb", MARIADB, "p@ss"),
        ("mysql://app:pw@/shop", "mariadb", MARIADB | {"host": "127.0.0.1"}, "pw"),
        ("mysql://a%20b:pw@[::1]:3307/my%20shop", "mariadb",
         {"host": "::1", "port": 3307, "user": "a b", "database": "my shop"}, "pw"),
        ("mysql://app:pw@db1/shop?charset=utf8mb4&unix_socket=/run/my.sock", "mariadb",
         MARIADB | {"socket": "/run/my.sock"}, "pw"),
        ("mysql://app:pw@db1/shop?ssl-mode=REQUIRED", "mariadb", MARIADB | {"tls": "on"}, "pw"),
        ("mysql://app:pw@db1/shop?ssl_ca=/etc/ca.pem", "mariadb", MARIADB | {"ca": "/etc/ca.pem", "tls": "verify"}, "pw"),
        ("postgres://app:pw@db1/shop", "postgresql", POSTGRESQL, "pw"),
        ("postgresql://app:p%C3%BC@db1:6432/shop?sslmode=require", "postgresql",
         POSTGRESQL | {"port": 6432, "sslmode": "require"}, "pü"),
        ("sqlite:///srv/app/data.sqlite3", "sqlite", {"path": "/srv/app/data.sqlite3"}, None),
        ("sqlite:////srv/my%20app/data.sqlite3?mode=ro", "sqlite", {"path": "/srv/my app/data.sqlite3"}, None),
    ],
)  # fmt: skip
def test_reads(url: str, engine: str, options: dict[str, object], password: str | None) -> None:
    address = read(url)
    found = address.secrets.get("password")
    assert (address.engine, address.options) == (engine, options)
    assert (found.reveal() if found is not None else None) == password


def test_a_url_that_only_libpq_understands_is_left_to_it() -> None:
    address = read("postgresql://app:secret-pw@db1/shop?sslmode=verify-full&sslrootcert=/etc/ca.pem")
    assert address.options == {"database": "shop"}
    assert address.secrets["url"].reveal().endswith("sslrootcert=/etc/ca.pem")
    assert address.has_password


def test_names_what_it_does_not_use() -> None:
    assert read("mysql://app:pw@db1/shop?compress=1&charset=utf8").ignored == ["compress"]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mongodb://app:hunter22@db1/shop", "Databases of the kind mongodb:// are not known here"),
        ("mysql://app:hunter22@db1", "No database is named in the URL"),
        ("mysql://db1/shop", "No user is named in the URL"),
        ("mysql://app:hunter22@db1:port/shop", "cannot be read. Hint: Special characters"),
        ("mysql://app:hun/ter22@db1/shop", "cannot be read. Hint: Special characters"),
        ("mysql://app:hun#ter22@db1/shop", "cannot be read. Hint: Special characters"),
        ("sqlite://data.sqlite3", "three slashes and an absolute path"),
        ("sqlite://", "three slashes and an absolute path"),
    ],
)
def test_refuses_with_a_sentence_and_without_the_url(url: str, message: str) -> None:
    with pytest.raises(OperationFailed) as failure:
        read(url)
    assert message in str(failure.value)
    assert "ter22" not in str(failure.value)
