"""`make bench`: each pair is run in turn, five times after one run that does not count. Prints Markdown.

Everything is stored in memory (/dev/shm), so that the pipeline is measured and not the disk; sources are in the
page cache. `--only mariadb|postgresql|files|increments|restore|memory|rebuild|rows|loss|moments` and `--megabytes N`, `--runs N` make it shorter.
"""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench import data
from tests.bench.increments import increments
from tests.bench.measure import HEAD, Cost, Row, cost_of, ours, shell
from tests.bench.restores import restores
from tests.bench.rows import rows

DEFAULT, THREE = "DR Center (level 2, the default)", "DR Center (level 3)"
SHELL = "zstd -3 -T2 -q | age -r {recipient} > {out}"


class Bench:
    """Where things lie, how often they are run, and the pairing."""

    @staticmethod
    def say(text: str) -> None:
        say(text)

    def __init__(self, options: argparse.Namespace, directory: Path, memory: Path) -> None:
        self.options, self.directory, self.memory = options, directory, memory
        import pyrage

        self.recipient = str(pyrage.x25519.Identity.generate().to_public())

    def pack(self, name: str) -> str:
        return SHELL.format(recipient=self.recipient, out=self.memory / name)

    def pairs(
        self, name: str, run: Callable[[], tuple[Cost, int]], plain: Callable[[], Cost]
    ) -> tuple[Row, list[Cost]]:
        """Run both in turn; the row of the first, and the costs of the second."""
        run(), plain()
        costs, beside, stored = [], [], 0
        for _number in range(self.options.runs):
            cost, stored = run()
            costs.append(cost)
            beside.append(plain())
        return Row(name, costs, beside, stored), beside

    def table(
        self,
        title: str,
        base: str,
        plain: Callable[[], Cost],
        peers: dict[str, Callable[[], tuple[Cost, int]]],
    ) -> None:
        say(f"\n### {title}\n\n{HEAD}")
        for number, (name, run) in enumerate(peers.items()):
            row, beside = self.pairs(name, run, plain)
            if number == 0:
                stored = (self.memory / "plain").stat().st_size
                say(Row(base, beside, beside, stored).line())
            say(row.line())

    def ours(self, kind: str, source: dict[str, Any], level: int = 2) -> Callable[[], tuple[Cost, int]]:
        def run() -> tuple[Cost, int]:
            place = self.memory / "ours"
            result = ours(kind, source | {"destination": str(place), "level": level})
            shutil.rmtree(place)
            return cost_of(result), result["stored"]

        return run

    def apart(self, kind: str, source: dict[str, Any]) -> None:
        result = ours(kind, source | {"destination": str(self.memory / "ours")}, also=True)
        shutil.rmtree(self.memory / "ours")
        say(
            f"\nApart from that, once: witness {result['witness']:.1f} s, read-back {result['read back']:.1f} s, "
            f"proof {result['proof']:.1f} s with {len(result['differences'])} differences."
        )


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def peer(script: str, out: Path, before: str = "true") -> Callable[[], tuple[Cost, int]]:
    """A peer's command; what it wrote is measured and removed."""

    def run() -> tuple[Cost, int]:
        shutil.rmtree(out, ignore_errors=True)
        shell(before)
        cost = shell(script)
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        shutil.rmtree(out)
        return cost, size

    return run


def mariadb(bench: Bench, stack: ExitStack) -> None:
    from backups.servers.mariadb import private_server

    server = stack.enter_context(
        private_server(settings={"local_infile": "ON", "innodb_buffer_pool_size": "1G"})
    )
    password, rows = bench.directory / "password", bench.directory / "rows"
    password.write_text(server.password.reveal())
    data.rows(rows, bench.options.megabytes)
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE bench CHARACTER SET utf8mb4")
        cursor.execute(
            "CREATE TABLE bench.calls (id INT PRIMARY KEY, customer INT, began_at DATETIME, seconds DECIMAL(8,2),"
            " note TEXT, KEY (customer))"
        )
    client = bench.directory / "client.cnf"
    client.write_text(
        f"[client]\nsocket={server.socket}\nuser={server.user}\npassword={server.password.reveal()}\n"
    )
    client.chmod(0o600)
    shell(
        f"mariadb --defaults-file={client} --local-infile=1 bench -e \"LOAD DATA LOCAL INFILE '{rows}' INTO TABLE calls\""
    )
    rows.unlink()
    source = {
        "host": server.host, "port": server.port, "socket": server.socket, "user": server.user,
        "password": f"file:{password}", "database": "bench", "tls": "off",
    }  # fmt: skip
    dump = (
        f"mariadb-dump --defaults-file={client} --single-transaction --routines --triggers --events --hex-blob"
        " --default-character-set=utf8mb4 bench"
    )
    out = bench.memory / "mydumper"
    mydumper = f"mydumper --socket={server.socket} --user={server.user} --password=$(cat {password}) -B bench -t 2 -o {out}"
    bench.table(
        "MariaDB", "`mariadb-dump \\| zstd -3 -T2 \\| age`", lambda: shell(f"{dump} | {bench.pack('plain')}"),
        {DEFAULT: bench.ours("mariadb", source), THREE: bench.ours("mariadb", source, 3), "`mydumper -t 2 -c` (gzip, not encrypted)": peer(f"{mydumper} -c", out)},
    )  # fmt: skip
    bench.apart("mariadb", source)


def postgresql(bench: Bench, stack: ExitStack) -> None:
    from backups.servers.postgresql import private_server

    server = stack.enter_context(private_server())
    rows = bench.directory / "rows"
    data.rows(rows, bench.options.megabytes)
    with server.connect() as connection:
        connection.autocommit = True
        connection.execute("CREATE DATABASE bench")
    with server.connect("bench") as connection:
        connection.execute(
            "CREATE TABLE calls (id INT PRIMARY KEY, customer INT, began_at TIMESTAMP, seconds NUMERIC(8,2), note TEXT)"
        )
        with connection.cursor().copy("COPY calls FROM STDIN") as copy, rows.open("rb") as file:
            while block := file.read(1 << 20):
                copy.write(block)
        connection.execute("CREATE INDEX ON calls (customer)")
    rows.unlink()
    source = server.options("bench")
    passfile = bench.directory / "pgpass"
    passfile.write_text(f"*:*:*:*:{Path(server.password[5:]).read_text()}\n")
    passfile.chmod(0o600)
    dump = f"PGPASSFILE={passfile} pg_dump -h {source['host']} -p {source['port']} -U {source['user']} bench"
    bench.table(
        "PostgreSQL", "`pg_dump \\| zstd -3 -T2 \\| age`", lambda: shell(f"{dump} | {bench.pack('plain')}"),
        {DEFAULT: bench.ours("postgresql", source), THREE: bench.ours("postgresql", source, 3)},
    )  # fmt: skip
    bench.apart("postgresql", source)


def files(bench: Bench, stack: ExitStack) -> None:
    root = bench.directory / "tree"
    data.tree(root, bench.options.files, bench.options.megabytes * 3 // 2)
    source, out = {"path": str(root)}, bench.memory / "restic"
    restic = f"RESTIC_PASSWORD=bench restic -q --no-cache -r {out}"
    bench.table(
        f"Files ({bench.options.files:,})", "`tar \\| zstd -3 -T2 \\| age`",
        lambda: shell(f"tar -cf - -C {root} . | {bench.pack('plain')}"),
        {DEFAULT: bench.ours("files", source), THREE: bench.ours("files", source, 3), "`restic backup`": peer(f"{restic} backup {root}", out, f"{restic} init")},
    )  # fmt: skip
    bench.apart("files", source)


def memory(bench: Bench, stack: ExitStack) -> None:
    """The resident memory of our own process for streams of 0.1 and 2 GB."""
    say("\n### Memory of our process\n\n| stream | peak MB | MB/s |\n|---|---|---|")
    for megabytes in (100, 2000):
        path = bench.directory / "stream"
        data.rows(path, megabytes)
        result = ours("command", {"argv": ["cat", str(path)], "destination": str(bench.memory / "ours")})
        say(
            f"| {megabytes / 1000} GB | {result['memory']:.0f} | {result['plain'] / 1e6 / result['wall']:.0f} |"
        )
        shutil.rmtree(bench.memory / "ours")
        path.unlink()


def rebuild(bench: Bench, stack: ExitStack) -> None:
    """A catalogue of --sets sets from a local destination, on an empty machine."""
    from backups.storage import publish
    from tests.bench import many_sets
    from tests.bench.ours import peak

    place, first, second = bench.memory / "sets", bench.directory / "first", bench.directory / "second"
    first.mkdir(), second.mkdir()
    with many_sets.own_database(first):
        taken, identity = many_sets.one_set(place, bench.directory / "source")
        many_sets.multiply(place, taken, bench.options.sets)
        pem = publish.signing_key().public_pem
    with many_sets.own_database(second):
        seconds, row = many_sets.rebuild(place, identity, pem)
    say(
        f"\n### Rebuild of {bench.options.sets:,} sets\n\n| seconds | peak MB | sets | copies | verifications |\n|---|---|---|---|---|"
    )
    counts = [row.counts.get(name, 0) for name in ("sets added", "copies added", "verifications added")]
    say(f"| {seconds:.0f} | {peak():.0f} | {' | '.join(f'{count:,}' for count in counts)} |")
    for text in row.findings[:5]:
        say(text)


def loss(bench: Bench, stack: ExitStack) -> None:
    """Servers that die with their disks under load, --rounds of each; every round has to keep what is promised."""
    from statistics import median

    from tests.bench.loss import run

    say("\n### Nothing lost that was promised\n")
    say(
        "| engine, what died | rounds | transactions | lost | longest tail s | recovery s (median) |\n|---|---|---|---|---|---|"
    )
    for engine in ("mariadb", "postgresql"):
        code, found = run(engine, bench.options.rounds)
        for kind, one in sorted(found.items()):
            figures = (
                len(one.lost),
                sum(one.acknowledged),
                sum(one.lost),
                max(one.tails),
                median(one.seconds),
            )
            say(f"| {engine}, {kind} | {' | '.join(f'{figure:,}' for figure in figures)} |")
        if code:
            raise SystemExit(f"A round of {engine} did not keep the promise: see above.")


def moments(bench: Bench, stack: ExitStack) -> None:
    """--moments random moments under load of each engine; each recovered database has to equal the writer's record."""
    from tests.bench.moments import run

    say("\n### To a point in time\n")
    for engine in ("mariadb", "postgresql"):
        code, told, seconds = run(engine, bench.options.moments)
        say(f"* {told}, in {seconds:.0f} s with all preparations")
        if code:
            raise SystemExit(f"A moment of {engine} was not the writer's record: see above.")


CASES = {
    "mariadb": mariadb, "postgresql": postgresql, "files": files, "increments": increments, "restore": restores, "memory": memory, "rebuild": rebuild, "rows": rows, "loss": loss, "moments": moments}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=CASES, action="append")
    parser.add_argument("--megabytes", type=int, default=1200)
    parser.add_argument("--files", type=int, default=60000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--sets", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--moments", type=int, default=20)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "drcenter.settings")
    import django

    django.setup()
    for name in options.only or CASES:
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            in_memory = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-", dir="/dev/shm"))
            )
            CASES[name](Bench(options, directory, in_memory), stack)


main()
