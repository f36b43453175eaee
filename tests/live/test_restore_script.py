"""restore.sh on a bare machine: without the product, without Python, with dash and with busybox."""

import re
import shutil
from pathlib import Path

import pytest

from tests.live.bare_sets import look_at_tree, sqlite_rows
from tests.live.mariadb_fixtures import Database
from tests.live.postgresql_fixtures import engine_for
from tests.live.restoring import (
    VERIFY,
    at_terminal,
    bare,
    carry,
    every_shell,
    furnished,
    login,
    machine,
    open_origin,
    origin,
    patch,
    private,
    restore,
    servers,
    sign_in,
    sources,
    taken,
)  # fmt: skip

__all__ = ["bare", "furnished", "machine", "open_origin", "origin", "patch", "servers", "sources", "taken"]


def test_the_machine_has_neither_python_nor_the_product(machine):
    assert not [name for name in machine.programs() if "python" in name or "perl" in name]
    assert machine.run("sh", "-c", "command -v python3").returncode != 0


def test_signature_digests_and_list(bare, origin):
    assert "Verified Successfully" in bare.run("sh", "-c", VERIFY).stdout
    assert bare.run("sha256sum", "-c", "checksums.txt").returncode == 0
    checked = bare.run("sh", "restore.sh", "check", "--key", "/root/key.pem")
    assert checked.returncode == 0 and "All files are as they were written." in checked.stdout
    read = restore(bare, "check", "--key", "/root/key.pem")
    assert read.returncode == 0 and "All parts can be unpacked." in read.stdout
    entries = len(look_at_tree(origin.tree))
    assert re.search(rf"uploads-tree\.tar\.zst\.age: {entries} entries", read.stdout)
    listed = bare.run("sh", "/set/restore.sh", "list", directory="/tmp")
    assert listed.returncode == 0
    for word in (
        "shop-db",
        "warehouse",
        "sessions",
        "uploads",
        "packages",
        "0 days and 0 hours",
        "every night",
        "$(reboot)",
    ):
        assert word in listed.stdout


def test_places_tell_where_the_data_were(bare, origin):
    places = restore(bare, "places")
    assert places.returncode == 0, places.stdout
    assert str(origin.tree) in places.stdout and "database shop-db at 127.0.0.1" in places.stdout
    assert '"options"' in restore(bare, "details").stdout


@every_shell
def test_everything_comes_back(bare, origin, servers, patch):
    sign_in(bare, servers)
    mariadb_name, postgresql_name = f"new `shop` {bare.kind}", f'new "ware" {bare.kind}'
    done = restore(
        bare, "all", "--target", "/srv/back", "--target", f"shop-db={mariadb_name}",
        "--target", f"warehouse={postgresql_name}", "--yes", environment=login(servers),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "Done: 5 of 5 restored." in done.stdout
    back = bare.root / "srv" / "back"
    assert look_at_tree(back / "uploads") == look_at_tree(origin.tree)
    assert sqlite_rows(back / "sessions.sqlite3") == sqlite_rows(origin.lite)
    assert (back / "packages" / "output.txt").read_text() == "installed: everything\n"
    mariadb, postgresql = servers
    assert Database(mariadb, mariadb_name, patch).rows() == origin.mariadb_rows
    made = engine_for(postgresql, postgresql_name).witness()
    assert (made.objects, made.contents) == (
        origin.postgresql_witness.objects,
        origin.postgresql_witness.contents,
    )
    assert not list((bare.root / "tmp").iterdir()), "something was left in /tmp"


def test_without_a_target_everything_goes_where_it_was(bare, origin, servers, patch):
    sign_in(bare, servers)
    dry = restore(bare, "all", "--dry-run", environment=login(servers))
    assert dry.returncode == 0 and "Nothing was done" in dry.stdout, dry.stdout
    assert not list((bare.root / "srv").iterdir())
    listed = restore(bare, "list")
    for line in (f"-> {origin.tree}", f"-> {origin.lite}", "-> shop-db", "-> ware house"):
        assert line in listed.stdout and line in dry.stdout
    done = restore(bare, "all", "--yes", environment=login(servers))
    assert done.returncode == 0, done.stdout
    back = bare.root / str(origin.tree).lstrip("/")
    assert look_at_tree(back) == look_at_tree(origin.tree)
    assert not back.with_name("tree.unfinished").exists()
    assert sqlite_rows(bare.root / str(origin.lite).lstrip("/")) == sqlite_rows(origin.lite)
    assert (bare.root / "set" / "restored" / "packages" / "output.txt").exists()
    mariadb, postgresql = servers
    with mariadb.connect() as connection, connection.cursor() as cursor:
        assert Database(mariadb, "shop-db", patch).rows() == origin.mariadb_rows
        cursor.execute("DROP DATABASE `shop-db`")
    with postgresql.connect() as connection:
        connection.execute('DROP DATABASE "ware house"')


def test_accounts_come_back(bare, servers, patch):
    sign_in(bare, servers)
    with servers[0].connect() as connection, connection.cursor() as cursor:
        cursor.execute("DROP USER IF EXISTS `shop-app`@`%`")
    done = restore(bare, "source", "shop-db", "--target", "accounts", "--yes")
    assert done.returncode == 0, done.stdout
    database = Database(servers[0], "accounts", patch)
    assert ("shop-app", "%") in database.execute("SELECT User, Host FROM mysql.user")
    assert database.execute("SELECT COUNT(*) FROM by_the_app") == [(3,)]
    database.execute("DROP DATABASE accounts")


def test_options_go_to_the_client(bare, servers, patch):
    mariadb = servers[0]
    private(bare.root / "root" / "elsewhere.cnf", f'[client]\npassword="{mariadb.password.reveal()}"\n')
    words = ("source", "shop-db", "--target", "by options", "--without-accounts", "--yes")
    after = (
        "--",
        "--defaults-file=/root/elsewhere.cnf",
        "--host=127.0.0.1",
        f"--port={mariadb.port}",
        "--user=root",
    )
    done = restore(bare, *words, after=after)
    # The view's definer is missing, as it should be when accounts are left out; the rows are there.
    database = Database(mariadb, "by options", patch)
    assert done.returncode == 0, done.stdout
    assert "leaving out" in done.stdout and database.execute("SELECT COUNT(*) FROM customers") == [(3,)]
    database.execute("DROP DATABASE `by options`")


def test_an_open_set_needs_no_identity_and_no_age(open_origin, machine):
    carry(open_origin, machine)
    machine.remove("age")
    done = machine.run("sh", "restore.sh", "storage", "--target", "/srv/tree", "--yes")
    assert done.returncode == 0, done.stdout
    assert look_at_tree(machine.root / "srv" / "tree") == look_at_tree(open_origin.tree)


class TestNothingIsLost:
    """What is there already stays, or is overwritten only when somebody said so."""

    def test_nobody_to_ask(self, bare):
        place = bare.root / "srv" / "here"
        place.mkdir()
        (place / "mine").write_text("mine")
        done = restore(bare, "storage", "--target", "/srv/here")
        assert done.returncode == 1 and "nothing was done" in done.stdout
        assert [one.name for one in place.iterdir()] == ["mine"]

    @pytest.mark.parametrize(("answer", "code"), [("no", 1), ("y", 1), ("", 1), ("overwrite", 0)])
    def test_asks_before_it_overwrites(self, bare, answer, code):
        place = bare.root / "srv" / "here"
        place.mkdir()
        (place / "mine").write_text("mine")
        (place / "run.sh").write_text("old")
        done = at_terminal(bare, answer, "storage", "--target", "/srv/here")
        assert done.returncode == code, done.stdout
        assert (place / "mine").read_text() == "mine"
        assert (place / "run.sh").read_text() == ("old" if code else "#!/bin/sh\n")

    def test_the_old_sqlite_file_stays_beside(self, bare, origin):
        place = bare.root / "srv" / "app.sqlite3"
        shutil.copy(origin.lite, place)
        place.chmod(0o664)
        Path(f"{place}-wal").write_text("a log of the old one")
        done = restore(bare, "config", "--target", "/srv/app.sqlite3", "--yes")
        assert done.returncode == 0, done.stdout
        assert sqlite_rows(place) == sqlite_rows(origin.lite)
        assert place.stat().st_mode & 0o777 == 0o664
        names = sorted(one.name for one in place.parent.iterdir() if "before" in one.name)
        assert len(names) == 2 and names[1] == f"{names[0]}-wal"

    def test_the_old_postgresql_database_stays_under_another_name(self, bare, servers):
        sign_in(bare, servers)
        with servers[1].connect() as connection:
            connection.execute("CREATE DATABASE old TEMPLATE template0")
        with servers[1].connect("old") as connection:
            connection.execute("CREATE TABLE precious (id int)")
        refused = restore(bare, "source", "warehouse", "--target", "old", environment=login(servers))
        assert refused.returncode == 1, refused.stdout
        done = restore(bare, "source", "warehouse", "--target", "old", "--yes", environment=login(servers))
        assert done.returncode == 0, done.stdout
        with servers[1].connect() as connection:
            found = [
                row[0]
                for row in connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'old%'")
            ]
            kept = next(name for name in found if name != "old")
        with servers[1].connect(kept) as connection:
            assert connection.execute("SELECT count(*) FROM precious").fetchone() == (0,)
        with servers[1].connect() as connection:
            for name in found:
                connection.execute(f'DROP DATABASE "{name}"')

    def test_a_full_mariadb_database_is_dropped_only_on_demand(self, bare, origin, servers, patch):
        sign_in(bare, servers)
        with servers[0].connect() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE old")
        database = Database(servers[0], "old", patch)
        database.execute("CREATE TABLE precious (id INT)")
        refused = restore(bare, "source", "shop-db", "--target", "old")
        assert refused.returncode == 1 and database.rows() == {"precious": []}
        for _again in range(2):
            done = restore(bare, "source", "shop-db", "--target", "old", "--yes")
            assert done.returncode == 0 and "is dropped" in done.stdout, done.stdout
            assert database.rows() == origin.mariadb_rows
        database.execute("DROP DATABASE old")

    def test_two_databases_do_not_go_into_one(self, bare, servers):
        sign_in(bare, servers)
        words = ("database", "--target", "shop-db=one", "--target", "warehouse=one", "--yes")
        done = restore(bare, *words, environment=login(servers))
        assert done.returncode == 2 and "the same place" in done.stdout
