"""A logical set restored into a private server, beside `myloader -t 2` and `pg_restore -j 2` into one like it.

Goal: at most their wall time. Half of the rows each are in two tables with indexes; both sides read what they need
from memory (/dev/shm), and begin with an empty server.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyrage

from backups import destinations, engines
from backups.pipe.stream import Encoding, store
from backups.storage import readback
from backups.witness import differences
from tests.bench import data
from tests.bench.measure import HEAD, Cost, Row, shell

TABLES = ("calls", "messages")


def restores(bench: Any, stack: ExitStack) -> None:
    for title, case in (("MariaDB", mariadb), ("PostgreSQL", postgresql)):
        with ExitStack() as own:
            case(bench, own, title)


def mariadb(bench: Any, stack: ExitStack, title: str) -> None:
    from backups.servers.mariadb import private_server

    server = stack.enter_context(
        private_server(settings={"local_infile": "ON", "innodb_buffer_pool_size": "1G"})
    )
    password, rows = bench.directory / "password", bench.directory / "rows"
    password.write_text(server.password.reveal())
    data.rows(rows, bench.options.megabytes // 2)
    client = option_file(bench.directory / "client.cnf", server.socket, server.password.reveal())
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE bench CHARACTER SET utf8mb4")
        for name in TABLES:
            cursor.execute(
                f"CREATE TABLE bench.{name} (id INT PRIMARY KEY, customer INT, began_at DATETIME,"
                " seconds DECIMAL(8,2), note TEXT, KEY (customer), KEY (began_at))"
            )
            shell(
                f"mariadb --defaults-file={client} --local-infile=1 bench"
                f" -e \"LOAD DATA LOCAL INFILE '{rows}' INTO TABLE {name}\""
            )
    rows.unlink()
    engine = engines.build(
        "mariadb",
        {
            "host": server.host, "port": server.port, "socket": server.socket, "user": server.user,
            "password": f"file:{password}", "database": "bench", "tls": "off",
        },
    )  # fmt: skip
    out = bench.memory / "mydumper"
    shell(
        f"mydumper --socket={server.socket} --user={server.user} --password=$(cat {password}) -B bench -t 2 -o {out}"
    )

    def peer(place: Any, workspace: Path) -> str:
        socket = place.options["socket"]
        return (
            f"myloader --socket={socket} --user=root --password=$(cat {workspace / 'password'}) -B bench"
            f" -d {out} -t 2 -o"
        )

    compare(bench, title, "`myloader -t 2` (not compressed, not encrypted)", engine, peer)


def postgresql(bench: Any, stack: ExitStack, title: str) -> None:
    from backups.servers.postgresql import private_server

    server = stack.enter_context(private_server())
    rows = bench.directory / "rows"
    data.rows(rows, bench.options.megabytes // 2)
    with server.connect() as connection:
        connection.autocommit = True
        connection.execute("CREATE DATABASE bench")
    with server.connect("bench") as connection:
        for name in TABLES:
            connection.execute(
                f"CREATE TABLE {name} (id INT PRIMARY KEY, customer INT, began_at TIMESTAMP, seconds NUMERIC(8,2), note TEXT)"
            )
            with connection.cursor().copy(f"COPY {name} FROM STDIN") as copy, rows.open("rb") as file:
                while block := file.read(1 << 20):
                    copy.write(block)
            connection.execute(f"CREATE INDEX ON {name} (customer)")
            connection.execute(f"CREATE INDEX ON {name} (began_at)")
    rows.unlink()
    source, out = server.options("bench"), bench.memory / "pg_dump"
    shell(f"{connecting(bench, source)} pg_dump {reaching(source)} -Fd -j 2 -Z 0 -f {out} bench")

    def peer(place: Any, workspace: Path) -> str:
        here = place.options
        return f"{connecting(bench, here)} pg_restore {reaching(here)} -d {here['database']} -j 2 {out}"

    compare(
        bench,
        title,
        "`pg_restore -j 2` (not compressed, not encrypted)",
        engines.build("postgresql", source),
        peer,
    )


def option_file(path: Path, socket: str, password: str) -> Path:
    path.write_text(f"[client]\nsocket={socket}\nuser=root\npassword={password}\n")
    path.chmod(0o600)
    return path


def connecting(bench: Any, options: dict[str, Any]) -> str:
    from drcenter.secrets import resolve

    path = bench.directory / "pgpass"
    path.write_text(f"*:*:*:*:{resolve(options['password']).reveal()}\n")
    path.chmod(0o600)
    return f"PGPASSFILE={path}"


def reaching(options: dict[str, Any]) -> str:
    return f"-h {options['host']} -p {options['port']} -U {options['user']}"


def compare(bench: Any, title: str, name: str, engine: Any, command: Callable[[Any, Path], str]) -> None:
    """Both in turn, each into an empty scratch server; ours has to hold exactly what was there."""
    kept = Kept(bench, engine)
    ours: list[Cost] = []
    theirs: list[Cost] = []
    for _number in range(bench.options.runs):
        with kept.scratch() as (place, _workspace):
            began = time.monotonic()
            kept.restore(place)
            ours.append(Cost(time.monotonic() - began, 0.0))
            if not theirs and (found := differences(kept.witness, place.witness())):
                raise RuntimeError(f"The restore is not exact: {found[:5]}")
        with kept.scratch() as (place, workspace):
            theirs.append(shell(command(place, workspace)))
    bench.say(f"\n### Restore of {title}\n\n{HEAD}")
    bench.say(Row(name, theirs, theirs).line())
    bench.say(Row("DR Center, into a scratch place", ours, theirs, kept.stored).line())


class Kept:
    """A set of `engine` in memory, encrypted, with its witness."""

    def __init__(self, bench: Any, engine: Any) -> None:
        self._engine, identity = engine, pyrage.x25519.Identity.generate()
        place = destinations.build("local", {"path": str(bench.memory / f"set-{id(engine)}")})
        place.prepare()
        self._parts = []
        with engine.snapshot() as snapshot:
            for spec in snapshot.parts():
                known = store(
                    spec,
                    lambda stream, spec=spec: place.put(spec.name, stream),
                    Encoding([identity.to_public()], 2),
                )
                self._parts.append((spec.name, spec.suffix))
                self.stored = known.stored_size
            self.witness = snapshot.witness()
        self._copy = readback.ReadableCopy(place, "", [identity])
        self._facts = engine.inspect().facts

    @contextmanager
    def scratch(self) -> Iterator[tuple[Any, Path]]:
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            workspace = Path(directory)
            with self._engine.scratch(workspace, self._facts) as place:
                place.prepare(overwrite=False)
                yield place, workspace

    def restore(self, place: Any) -> None:
        from tests.bench.ours import feed

        place.expect(self.witness)
        for name, suffix in self._parts:
            with self._copy.plain(name) as plain:
                feed(place.consumer(name, suffix), plain)
        place.finish(self.witness)
