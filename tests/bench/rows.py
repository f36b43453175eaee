"""Rows put back: a large table with 500 deleted and 300 changed rows; beside it, comparing by hand.

Goals: found exactly, put back, everything else untouched; memory does not grow with the table.
"""

import os
import random
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench.measure import shell

DELETED, CHANGED = 500, 300


def rows(bench: Any, stack: ExitStack) -> None:
    """Each size in a process of its own, which says its peak memory."""
    sys.stdout.write(
        "\n### Rows put back (MariaDB)\n\n| rows | found | restore s | compare s | by hand s | ratio | put back s | all as before | peak MB |\n"
        "|---|---|---|---|---|---|---|---|---|\n"
    )
    sys.stdout.flush()
    for size in (bench.options.rows // 10, bench.options.rows):
        argv = [sys.executable, "-m", "tests.bench.rows", str(size), str(bench.directory / str(size))]
        subprocess.run(argv, check=True)


def _table(server: Any, size: int) -> None:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE bench CHARACTER SET utf8mb4")
        cursor.execute(
            "CREATE TABLE bench.orders (id INT PRIMARY KEY, customer INT, total DECIMAL(10,2), rate DOUBLE, note VARCHAR(200),"
            " placed DATETIME, KEY (customer))"
        )
        cursor.execute(
            "INSERT INTO bench.orders SELECT seq, seq % 9973, seq / 7, SQRT(seq), CONCAT('order ', seq, ' ', MD5(seq)),"
            f" '2025-01-01' + INTERVAL seq MINUTE FROM bench.seq_1_to_{size}"
        )
        connection.commit()


def _damage(server: Any, size: int) -> None:
    chosen = random.Random(5).sample(range(1, size + 1), DELETED + CHANGED)
    with server.connect("bench") as connection, connection.cursor() as cursor:
        gone = ", ".join(map(str, chosen[:DELETED]))
        wrong = ", ".join(map(str, chosen[DELETED:]))
        cursor.execute(f"DELETE FROM orders WHERE id IN ({gone})")
        cursor.execute(f"UPDATE orders SET total = 0, note = 'wrong' WHERE id IN ({wrong})")
        connection.commit()


def _by_hand(server: Any, directory: Path, dump: str) -> float:
    """Restored already: both tables as text, sorted, and the difference."""
    client = directory / "client.cnf"
    client.write_text(
        f"[client]\nsocket={server.socket}\nuser={server.user}\npassword={server.password.reveal()}\n"
    )
    mysql = f"mariadb --defaults-file={client}"
    shell(f"{mysql} -e 'CREATE DATABASE copied'; {mysql} copied < {dump}")
    text = f"{mysql} --batch --quick --skip-column-names -e 'SELECT * FROM orders'"
    cost = shell(
        f"export LC_ALL=C; {text} copied | sort > {directory}/then; {text} bench | sort > {directory}/now;"
        f" diff {directory}/then {directory}/now > {directory}/difference || true"
    )
    return cost.wall


def _dump(server: Any, directory: Path) -> str:
    client = directory / "client.cnf"
    client.write_text(
        f"[client]\nsocket={server.socket}\nuser={server.user}\npassword={server.password.reveal()}\n"
    )
    shell(f"mariadb-dump --defaults-file={client} --single-transaction bench > {directory}/dump.sql")
    return f"{directory}/dump.sql"


def _put_back(comparison: Any) -> tuple[float, Any]:
    """Planned, approved by a second person, applied; seconds of the last."""
    from django.contrib.auth.models import User

    from backups.models import RowChange
    from backups.recovery import approval, begin
    from backups.rows import apply, changing
    from backups.rows.condition import Condition
    from drcenter.jobs.work import run_job

    first = User.objects.create_superuser("first")
    second = User.objects.create_superuser("second")
    changing.chosen_of(comparison, Condition())
    change = changing.plan(comparison, requested_by="first")
    wanted = apply.request(change, typed_host=apply.to_type(change), requested_by="first", user=first)
    approval.approve(wanted, user=second, seen=wanted.digest)
    began = time.monotonic()
    run_job(begin.begin(wanted, actor="first").job_id)
    return time.monotonic() - began, RowChange.objects.get(pk=change.pk)


def main(size: int, directory: Path) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "drcenter.settings")
    import django

    django.setup()
    from backups.servers.mariadb import private_server
    from tests.bench.many_sets import own_database
    from tests.bench.ours import peak

    directory.mkdir()
    with private_server(settings={"innodb_buffer_pool_size": "1G"}) as server, own_database(directory):
        _table(server, size)
        source, secret = _taken(server, directory)
        before = source.build().witness()
        dump = _dump(server, directory)
        _damage(server, size)
        by_hand = _by_hand(server, directory, dump)
        comparison = _compared(source, secret)
        seconds, change = _put_back(comparison)
        same = source.build().witness() == before
        found = {name: comparison.counts[name] for name in ("deleted", "changed", "added")}
        compare = comparison.timings["compare"] + comparison.timings["links"]
        exact = found == {"deleted": DELETED, "changed": CHANGED, "added": 0}
        sys.stdout.write(
            f"| {size:,} | {'exactly' if exact else found} | {comparison.timings['restore']:.1f} | {compare:.1f} | {by_hand:.1f} |"
            f" {compare / by_hand:.2f} | {seconds:.1f} | {'yes' if same and change.state == 'applied' else f'NO: {change.message}'} |"
            f" {peak():.0f} |\n"
        )


def _taken(server: Any, directory: Path) -> tuple[Any, Any]:
    import pyrage

    from backups.models import Destination, Plan, RecoveryKey, Set, Source
    from backups.takes import take
    from drcenter.jobs.work import run_job
    from drcenter.secrets import Secret
    from drcenter.systems.models import System

    identity = pyrage.x25519.Identity.generate()
    RecoveryKey.objects.create(name="bench", recipient=str(identity.to_public()))
    system = System.objects.create(slug="bench", name="Bench")
    place = Destination.objects.create(name="bench", kind="local", options={"path": str(directory / "sets")})
    place.build().prepare()
    (directory / "password").write_text(server.password.reveal())
    options = {
        "host": server.host, "port": server.port, "socket": str(server.socket), "user": server.user,
        "password": f"file:{directory / 'password'}", "database": "bench",
    }  # fmt: skip
    source = Source.objects.create(
        system=system, name="shop", engine="mariadb", tier="database", options=options
    )
    plan = Plan.objects.create(system=system, name="daily", level="stored")
    plan.sources.add(source)
    plan.destinations.add(place)
    wanted = take.request(plan, requested_by="bench")
    run_job(wanted.job_id)
    if (taken := Set.objects.get(pk=wanted.pk)).state != Set.State.COMPLETE:
        raise RuntimeError(f"{taken}: {taken.state} {taken.message}")
    return source, Secret(str(identity))


def _compared(source: Any, secret: Any) -> Any:
    from backups.models import RowComparison
    from backups.rows import compare
    from backups.rows.source import copy_at
    from drcenter.jobs.work import run_job

    wanted = compare.request(copy_at(source, None), source, "orders", requested_by="first", identity=secret)
    run_job(wanted.job_id)
    found = RowComparison.objects.get(pk=wanted.pk)
    if found.state != RowComparison.State.DONE:
        raise RuntimeError(f"{found.state}: {found.message} {found.hint}")
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
