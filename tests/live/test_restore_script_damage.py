"""restore.sh on a bare machine, of a set that is damaged, forged, or breaks off; and what a tired person gets wrong."""

import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.bare_machine import BareMachine
from tests.live.restoring import (
    VERIFY,
    bare,
    digest,
    every_shell,
    furnished,
    login,
    machine,
    open_origin,
    origin,
    patch,
    restore,
    servers,
    sign_in,
    sources,
    taken,
)  # fmt: skip

__all__ = ["bare", "furnished", "machine", "open_origin", "origin", "patch", "servers", "sources", "taken"]


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
    @pytest.mark.parametrize(
        ("reading", "told"),
        [
            (5, ["whole:      packages\n", "INCOMPLETE: sessions (/srv/lite)", "not begun:  uploads\n"]),
            # The sixth are the details, which tell the mode of a SQLite file.
            (7, ["whole:      packages, sessions\n", "INCOMPLETE: uploads (/srv/tree)"]),
        ],
    )
    def test_a_restore_that_ends_half_way_says_what_is_whole_and_what_is_not(self, bare, reading, told):
        """Three sources are read through; then the second or the third one breaks off while it is written."""
        spoil_reading(bare, reading, "exit 1")
        words = (
            "--target", "uploads=/srv/tree", "--target", "sessions=/srv/lite", "--target", "packages=/srv/list",
        )  # fmt: skip
        script = bare.root / "set" / "restore.sh"
        databases = r"(?m)^ +(part '\d+'|origin) '(shop-db|warehouse)'.*$"
        script.write_text(re.sub(databases, "", script.read_text()))
        done = restore(bare, "all", *words, "--yes")
        assert done.returncode == 3, done.stdout
        assert all(text in done.stdout for text in told), done.stdout
        again = restore(bare, "all", *words, "--dry-run")
        cut_off = "an earlier restore into it was cut off" in again.stdout
        assert cut_off is ("INCOMPLETE: uploads" in done.stdout)

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
