"""restore.sh on a bare machine: without the product, without Python, with dash and with busybox."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backups.servers.mariadb import private_server as mariadb_private_server
from backups.servers.postgresql import private_server as postgresql_private_server
from tests.live.bare_machine import BareMachine
from tests.live.bare_sets import Origin, look_at_tree, make, make_open, sqlite_rows
from tests.live.mariadb_fixtures import Database
from tests.live.postgresql_fixtures import engine_for

VERIFY = (
    "openssl pkeyutl -verify -pubin -inkey /root/key.pem -rawin -in checksums.txt -sigfile checksums.txt.sig"
)

# Most tests are run with two shells; these with a third one, which handles jobs and signals in its own way.
every_shell = pytest.mark.parametrize("furnished", ["dash", "busybox", "bash"], indirect=True)


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def sources():
    """The servers of the machine that was lost."""
    with mariadb_private_server() as mariadb, postgresql_private_server() as postgresql:
        yield mariadb, postgresql


@pytest.fixture(scope="module")
def servers():
    """Fresh servers, which know none of the accounts."""
    with mariadb_private_server() as mariadb, postgresql_private_server() as postgresql:
        yield mariadb, postgresql


@pytest.fixture(scope="module")
def taken():
    """Sets that were taken already, once for all tests here."""
    return {}


@pytest.fixture
def origin(db, taken, sources, patch, tmp_path_factory) -> Origin:
    """An encrypted set of a source of each kind."""
    if "encrypted" not in taken:
        taken["encrypted"] = make(tmp_path_factory.mktemp("encrypted"), patch, *sources)
    return taken["encrypted"]


@pytest.fixture
def open_origin(db, taken, tmp_path_factory) -> Origin:
    if "open" not in taken:
        taken["open"] = make_open(tmp_path_factory.mktemp("open"))
    return taken["open"]


@pytest.fixture(scope="module", params=["dash", "busybox"])
def furnished(request, tmp_path_factory) -> BareMachine:
    return BareMachine(tmp_path_factory.mktemp(request.param), request.param).furnish()


@pytest.fixture
def machine(furnished, tmp_path) -> BareMachine:
    return furnished.copy(tmp_path / "machine")


def carry(origin: Origin, machine: BareMachine) -> None:
    """What a person brings: the folder of the set, and what is printed on the kit."""
    shutil.rmtree(machine.root / "set")
    shutil.copytree(origin.folder, machine.root / "set")
    for name, content in {
        "key.pem": origin.public_pem,
        "identity.txt": origin.identity,
        "other.txt": origin.stranger,
    }.items():
        (machine.root / "root" / name).write_text(content + "\n")


@pytest.fixture
def bare(origin, machine) -> BareMachine:
    carry(origin, machine)
    return machine


def restore(machine: BareMachine, *words: str, identity: str = "identity.txt", **more):
    return machine.run(
        "sh", "restore.sh", *words, "--identity", f"/root/{identity}", *more.pop("after", ()), **more
    )


def login(servers) -> dict[str, str]:
    """How the clients find the servers: their own option file, and libpq's variables."""
    _mariadb, postgresql = servers
    return {
        "PGHOST": postgresql.host, "PGPORT": str(postgresql.port), "PGUSER": postgresql.administrator,
        "PGPASSFILE": "/root/pgpass", "PGSSLMODE": "disable",
    }  # fmt: skip


def sign_in(machine: BareMachine, servers) -> None:
    mariadb, postgresql = servers
    password = (postgresql.directory / "password").read_text().strip()
    _private(machine.root / "root" / "pgpass", f"*:*:*:*:{password}\n")
    option = f'[client]\nhost=127.0.0.1\nport={mariadb.port}\nprotocol=tcp\nuser=root\npassword="{mariadb.password.reveal()}"\n'
    _private(machine.root / "root" / ".my.cnf", option)


def _private(path: Path, content: str) -> None:
    path.touch(mode=0o600)
    path.write_text(content)


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
    _private(bare.root / "root" / "elsewhere.cnf", f'[client]\npassword="{mariadb.password.reveal()}"\n')
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


class TestDamage:
    """A damaged set restores nothing, and says what is wrong."""

    def spoil(self, path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    @pytest.mark.parametrize("how", ["bit", "cut", "missing"])
    def test_a_part(self, bare, how):
        path = next((bare.root / "set").glob("parts/*uploads-tree.tar*"))
        if how == "bit":
            self.spoil(path)
        elif how == "cut":
            path.write_bytes(path.read_bytes()[:-1000])
        else:
            path.unlink()
        checked = bare.run("sh", "restore.sh", "check")
        assert checked.returncode == 1
        done = restore(bare, "storage", "--target", "/srv/tree", "--yes")
        assert done.returncode == 1
        assert path.name in done.stdout and ("missing" if how == "missing" else "damaged") in done.stdout
        assert not (bare.root / "srv" / "tree").exists()

    def test_a_damage_that_has_a_fitting_digest(self, bare, servers, patch):
        """Somebody spoiled a part and made the digests fit: age itself notices, before anything is changed."""
        sign_in(bare, servers)
        path = next((bare.root / "set").glob("parts/*shop-db-database.sql*"))
        old = digest(path)
        self.spoil(path)
        for name in ("checksums.txt", "restore.sh"):
            file = bare.root / "set" / name
            file.write_text(file.read_text().replace(old, digest(path)))
        done = restore(bare, "source", "shop-db", "--target", "spoiled", "--yes")
        assert done.returncode == 1 and "cannot be unpacked" in done.stdout
        with servers[0].connect() as connection, connection.cursor() as cursor:
            assert cursor.execute("SHOW DATABASES LIKE 'spoiled'") == 0

    @pytest.mark.parametrize("name", ["restore.sh", "manifest.json", "RESTORE.md"])
    def test_a_changed_file_fails_the_digests(self, bare, name):
        path = bare.root / "set" / name
        path.write_text(path.read_text() + "\n")
        assert bare.run("sha256sum", "-c", "checksums.txt").returncode == 1
        assert bare.run("sh", "restore.sh", "check").returncode == 1

    def test_a_changed_script_with_fitting_digests_fails_the_signature(self, bare):
        script, checksums = bare.root / "set" / "restore.sh", bare.root / "set" / "checksums.txt"
        old = digest(script)
        script.write_text(script.read_text().replace("set -u", "set -u; touch /tmp/hacked", 1))
        checksums.write_text(checksums.read_text().replace(old, digest(script)))
        assert bare.run("sha256sum", "-c", "checksums.txt").returncode == 0
        verified = bare.run("sh", "-c", VERIFY)
        assert verified.returncode != 0 and "Verified Successfully" not in verified.stdout
        assert bare.run("sh", "restore.sh", "check", "--key", "/root/key.pem").returncode == 1

    def test_the_set_before_it_lies_beside_it(self, open_origin, machine):
        """As in the store: whether the predecessor is what this set saw, and whether newer ones are there."""
        others = [one.parent for one in open_origin.folder.parent.glob("*/manifest.json")]
        newest = next(one for one in others if one != open_origin.folder)
        for folder in (open_origin.folder, newest):
            shutil.copytree(folder, machine.root / "srv" / folder.name)
        here, there = f"/srv/{newest.name}", f"/srv/{open_origin.folder.name}"
        listed = machine.run("sh", "restore.sh", "list", directory=there)
        assert f"NEWER sets of this system lie beside this one: {newest.name}" in listed.stdout
        assert "It is number 1 of" in listed.stdout
        checked = machine.run("sh", "restore.sh", "check", directory=here)
        assert checked.returncode == 0 and "is the one that this one was made after" in checked.stdout
        assert "NEWER" not in checked.stdout
        sums = machine.root / "srv" / open_origin.folder.name / "checksums.txt"
        sums.write_text(sums.read_text() + "\n")
        assert (
            "was CHANGED after this one was made"
            in machine.run("sh", f"{here}/restore.sh", "check", directory="/").stdout
        )
        renamed = machine.run(
            "sh", "-c", f"mv {here} {there}x && sh {there}x/restore.sh check", directory="/"
        )
        assert "This folder is not called" in renamed.stdout

    def test_the_signature_of_another_key(self, bare):
        bare.run("sh", "-c", "openssl genpkey -algorithm ed25519 | openssl pkey -pubout -out /root/key.pem")
        done = bare.run("sh", "restore.sh", "check", "--key", "/root/key.pem")
        assert done.returncode == 1 and "another key" in done.stdout

    @every_shell
    def test_a_stream_that_breaks_off_commits_nothing(self, bare, servers):
        """The second reading fails half-way: psql must not take that for the end of the data."""
        sign_in(bare, servers)
        counter = spoil_fourth_reading(bare, "exit 1")
        words = ("source", "warehouse", "--target", "cut off", "--yes")
        done = restore(bare, *words, environment=login(servers))
        assert done.returncode == 3 and "INCOMPLETE: warehouse" in done.stdout, done.stdout
        assert "nothing is in the database" in done.stdout and counter.read_text().count("x") == 4
        assert nothing_arrived(servers[1], "cut off")

    @every_shell
    def test_a_restore_that_ends_half_way_says_what_is_whole_and_what_is_not(self, bare):
        """Of three sources the second one breaks off while it is unpacked."""
        spoil_reading(bare, 5, "exit 1")
        words = (
            "--target",
            "uploads=/srv/tree",
            "--target",
            "sessions=/srv/lite",
            "--target",
            "packages=/srv/list",
        )
        script = bare.root / "set" / "restore.sh"
        databases = r"(?m)^ +(part '\d+'|origin) '(shop-db|warehouse)'.*$"
        script.write_text(re.sub(databases, "", script.read_text()))
        done = restore(bare, "all", *words, "--yes")
        assert done.returncode == 3, done.stdout
        assert "whole:      sessions\n" in done.stdout and "not begun:  packages\n" in done.stdout
        assert "INCOMPLETE: uploads (/srv/tree)" in done.stdout
        again = restore(bare, "all", *words, "--dry-run")
        assert "an earlier restore into it was cut off" in again.stdout

    @every_shell
    def test_a_terminal_that_hangs_up_commits_nothing(self, bare, servers):
        sign_in(bare, servers)
        counter = spoil_fourth_reading(bare, "sleep 100")
        words = ("source", "warehouse", "--target", "hung up", "--yes", "--identity", "/root/identity.txt")
        with bare.start("sh", "restore.sh", *words, environment=login(servers)) as child:
            until(lambda: counter.exists() and counter.read_text().count("x") == 4)
            time.sleep(0.3)
            os.killpg(child.pid, signal.SIGHUP)
            assert child.wait(10) != 0
        assert nothing_arrived(servers[1], "hung up")
        assert {one.name for one in (bare.root / "tmp").iterdir()} == {"count"}


def spoil_fourth_reading(machine: BareMachine, ending: str) -> Path:
    """Globals and database are read through, then the globals are loaded: the fourth reading is the load."""
    return spoil_reading(machine, 4, ending)


def spoil_reading(machine: BareMachine, number: int, ending: str) -> Path:
    """The reading of that number breaks off after some bytes."""
    real = (machine.root / "bin" / "zstd").rename(machine.root / "bin" / "zstd-real")
    real.with_name("zstd").write_text(
        "#!/bin/sh\necho x >>/tmp/count\n"
        f'[ "$(wc -l </tmp/count)" -ne {number} ] || {{ zstd-real "$@" | head -c 9000; {ending}; }}\nexec zstd-real "$@"\n'
    )
    real.with_name("zstd").chmod(0o755)
    return machine.root / "tmp" / "count"


def nothing_arrived(server, database: str) -> bool:
    """True if the new database is empty; it is removed. A server needs a moment to notice a lost client."""
    query = b"SELECT count(*) FROM pg_namespace WHERE nspname = 'sales'"
    with server.connect() as connection:
        others = b"SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
        until(lambda: connection.execute(others, [database]).fetchone() == (0,))
        with server.connect(database) as inside:
            empty = inside.execute(query).fetchone() == (0,)
        connection.execute(f'DROP DATABASE "{database}" WITH (FORCE)')
    return empty


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


class TestMistakes:
    """What a tired person gets wrong is said in a sentence, and changes nothing."""

    @pytest.mark.parametrize(
        ("words", "said", "code"),
        [
            (
                ["restore.sh", "storage", "--target", "/srv/x", "--yes"],
                "this set is encrypted: --identity FILE",
                1,
            ),
            (["restore.sh", "storage", "--identity", "/root/none", "--yes"], "cannot be read", 1),
            (
                ["restore.sh", "storage", "--identity", "/root/other.txt", "--yes"],
                "this set needs that of age1",
                1,
            ),
            (["restore.sh", "storag"], "there is no command storag", 2),
            (["restore.sh", "storage", "--force"], "there is no option --force", 2),
            (["restore.sh", "storage", "--target"], "--target needs a value", 2),
            (["restore.sh", "ssl", "--identity", "/root/identity.txt"], "has nothing of this kind", 1),
            (["restore.sh", "source", "nothing", "--yes"], "has nothing of this kind", 1),
            (["restore.sh", "source"], "which one?", 2),
        ],
    )
    def test_words(self, bare, words, said, code):
        done = bare.run("sh", *words)
        assert done.returncode == code, done.stdout
        assert said in done.stdout and not list((bare.root / "srv").iterdir())

    def test_a_database_has_to_be_named_where_files_go_elsewhere(self, bare):
        """For practice below a directory: the database must not go over the original one unasked."""
        done = restore(bare, "all", "--target", "/srv/practice", "--yes")
        assert done.returncode == 2 and "--target shop-db=DATABASE" in done.stdout

    @pytest.mark.parametrize(
        ("tool", "package"), [("age", "age"), ("zstd", "zstd"), ("tar", "tar"), ("psql", "postgresql-client")]
    )
    def test_a_missing_tool_is_named_with_its_package(self, bare, tool, package):
        bare.remove(tool)
        what = "warehouse" if tool == "psql" else "uploads"
        done = restore(bare, "source", what, "--target", "x", "--yes")
        assert done.returncode == 1 and f"apt-get install {package}" in done.stdout

    def test_a_wrong_password(self, bare, servers):
        sign_in(bare, servers)
        (bare.root / "root" / "pgpass").write_text("*:*:*:*:wrong\n")
        (bare.root / "root" / ".my.cnf").write_text(
            (bare.root / "root" / ".my.cnf").read_text().replace('password="', 'password="wrong')
        )
        for source in ("shop-db", "warehouse"):
            done = restore(bare, "source", source, "--target", "x", "--yes", environment=login(servers))
            assert done.returncode == 1 and "does not answer" in done.stdout, done.stdout

    # busybox's shell takes its own df before any other.
    @pytest.mark.parametrize("furnished", ["dash"], indirect=True)
    @pytest.mark.parametrize(("free", "warned"), [(3, True), (9_000_000, False)])
    def test_a_full_disk_is_told_before_anybody_says_yes(self, bare, free, warned):
        df = bare.root / "bin" / "df"
        df.unlink()
        df.write_text(
            "#!/bin/sh\necho 'Filesystem     1024-blocks      Used Available Capacity Mounted on'\n"
            f"echo '/dev/a b 1000 900 {free} 99% /srv'\n"
        )
        df.chmod(0o755)
        done = restore(bare, "storage", "--target", "/srv/not/yet/there")
        assert ("WARNING: it needs" in done.stdout) is warned and done.returncode == 1
        assert not (bare.root / "srv" / "not").exists()

    def test_one_part_by_its_number(self, bare, origin):
        number = origin.parts("*packages*")[0].name[:2].lstrip("0")
        done = restore(bare, "part", number, "--target", "/srv/list.txt")
        assert done.returncode == 0, done.stdout
        assert (bare.root / "srv" / "list.txt").read_text() == "installed: everything\n"


def at_terminal(machine: BareMachine, answer: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run with a terminal as standard input, at which somebody types `answer`."""
    outer, inner = os.openpty()
    os.write(outer, answer.encode() + b"\n")
    try:
        return restore(machine, *words, stdin=inner)
    finally:
        os.close(inner)
        os.close(outer)


def digest(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()
