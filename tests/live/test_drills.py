"""Drills of real systems: a Laravel application on SQLite and MariaDB, a PostgreSQL database; nothing real is touched."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.urls import reverse
from django.utils import timezone

from backups import leftovers
from backups.drills import drill as drills
from backups.models import Drill, DrillCheck, Plan, Set, Source
from backups.takes import take
from drcenter import process_tree
from drcenter.jobs.models import Job
from drcenter.jobs.reap import lose
from drcenter.jobs.work import run_job
from drcenter.secrets import Secret
from drcenter.systems.models import System
from tests.backups.taking import channel, told
from tests.live.dying_worker import run_and_die
from tests.live.mariadb_fixtures import mariadb_server
from tests.live.test_restore_laravel import Shop, on_mariadb, on_sqlite, place, protected, quick
from tests.live.test_rewind_mariadb import scene

__all__ = ["channel", "mariadb_server", "on_mariadb", "on_sqlite", "place", "quick", "scene"]
pytestmark = pytest.mark.django_db(transaction=True)

TRANSCRIPT = "SELECT transcript FROM calls WHERE id = 7"


def laravel(system: System) -> None:
    """What somebody would check of this application."""
    made = {"source": "application", "directory": ".", "database": "database"}
    checks = {
        "boots": ("laravel", made | {"query": TRANSCRIPT}),
        "answers": ("http", made | {"path": "/", "status": 200, "text": '"customers":400'}),
        "calls": ("sql", {"source": "database", "query": "SELECT count(*) FROM calls", "comparison": "least",
                          "expected": "2500"}),
        "rows": ("row_counts", {"source": "database"}),
    }  # fmt: skip
    for name, (kind, options) in checks.items():
        DrillCheck.objects.create(system=system, name=name, kind=kind, options=options)


def held(one: Set, key) -> Drill:
    drill = drills.request(one.copies.get(), requested_by="otto", identity=Secret(key.identity))
    run_job(drill.recovery.job_id)
    return Drill.objects.get(pk=drill.pk)


def passed(drill: Drill, client) -> None:
    """It is good, and its page of evidence says so to somebody who opens it."""
    assert drill.outcome == Drill.Outcome.PASSED, (drill.message, drill.checks)
    page = client.get(reverse("admin:backups_drill_evidence", args=[drill.pk])).text
    assert drill.evidence_sha256 in page and "The signature is that of this DR Center" in page
    saved = client.get(reverse("admin:backups_drill_text", args=[drill.pk]))
    assert saved.content.decode() == drill.evidence
    assert not list((Path(django_settings.STATE_DIR) / "scratch").iterdir())


def taken_again(one: Set) -> Set:
    wanted = take.request(one.plan, requested_by="anna")
    run_job(wanted.job_id)
    return Set.objects.get(pk=wanted.pk)


def test_a_laravel_application_on_sqlite_boots_decrypts_and_answers(
    on_sqlite: Shop, key, destination, as_admin
):
    one = protected(on_sqlite)
    laravel(one.system)
    passed(held(one, key), as_admin)


def test_a_laravel_application_on_mariadb_boots_decrypts_and_answers(
    on_mariadb: Shop, key, destination, as_admin
):
    one = protected(on_mariadb)
    laravel(one.system)
    drill = held(one, key)
    passed(drill, as_admin)
    assert drill.counts == {"database": {"customers": 400, "appointments": 1200}}


def test_an_app_key_that_does_not_fit_is_found_though_every_byte_is_right(
    on_sqlite: Shop, key, destination, channel
):
    one = protected(on_sqlite)
    laravel(one.system)
    env = on_sqlite.root / ".env"
    other = "APP_KEY=base64:" + "QUJD" * 10 + "QUI="
    lines = [other if line.startswith("APP_KEY") else line for line in env.read_text().splitlines()]
    env.write_text("\n".join(lines) + "\n")
    bad = taken_again(one)
    assert bad.level == "intact"
    drill = held(bad, key)
    assert drill.outcome == Drill.Outcome.FAILED and drill.recovery.differences == []
    assert drill.failed_checks == ["boots"]
    assert "its APP_KEY does not decrypt the data" in drill.message
    assert told()[-1][0] == "failure"
    assert held(one, key).outcome == Drill.Outcome.PASSED


@contextmanager
def canary(path: Path | None = None) -> Iterator[tuple[int, list]]:
    """Somebody who listens on this machine, as a mail server would; yields its port, and who came."""
    came: list = []
    server = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    server.bind(str(path) if path else ("127.0.0.1", 0))
    if path:
        path.chmod(0o777)
    server.listen()
    server.settimeout(0.1)
    over = threading.Event()

    def listen() -> None:
        while not over.is_set():
            with suppress(TimeoutError):
                came.append(server.accept()[0])

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield (0 if path else server.getsockname()[1]), came
    finally:
        over.set()
        thread.join()
        server.close()
        for one in came:
            one.close()


CALLS_HOME = """
        @fsockopen('127.0.0.1', %(port)d, $code, $text, 2);
        @stream_socket_client('unix://%(socket)s', $code, $text, 2);
        @file_put_contents('%(file)s', 'the drill was here');
        @mail('everybody@example.org', 'from the drill', 'never');
"""


def test_it_touches_nothing_real(on_sqlite: Shop, key, destination, place: Path, as_admin):
    """An application that calls home, by network, socket and file, whenever it boots; and with which secrets."""
    wire, trace = Path(f"/tmp/drc-canary-{os.getpid()}.sock"), place / "trace"
    provider = on_sqlite.root / "app" / "Providers" / "AppServiceProvider.php"
    with canary() as (port, by_network), canary(wire) as (_none, by_socket):
        code = CALLS_HOME % {"port": port, "socket": wire, "file": trace}
        text = provider.read_text()
        begin = text.index("{") + 1
        boot = f"public function boot() {{ {code} }}"
        provider.write_text(f"{text[:begin]}{boot}{text[begin:]}")
        with (on_sqlite.root / ".env").open("a") as env:
            env.write(
                f'MAIL_HOST="127.0.0.1"\nMAIL_PORT={port}\nMAIL_PASSWORD="real mail"\nRETELL_API_KEY="real key"\n'
            )
        place.chmod(0o777)
        one = protected(on_sqlite)
        laravel(one.system)
        told_env = "echo implode(' ', array_map('getenv', ['MAIL_PASSWORD','RETELL_API_KEY','MAIL_MAILER','QUEUE_CONNECTION']));"
        for name, command, text in (
            ("secrets", f'php -r "{told_env}"', "drill drill array null"),
            ("production", f"ls {on_sqlite.root.parent} /root /var /home /run || echo gone", ""),
        ):
            made = {
                "source": "application",
                "directory": ".",
                "database": "database",
                "command": command,
                "text": text,
            }
            DrillCheck.objects.create(system=one.system, name=name, kind="command", options=made)
        # The application itself calls, and is heard: looking at it has started it.
        assert by_network and by_socket and trace.exists()
        forget(by_network, by_socket, trace)
        before = on_sqlite.tree()
        drill = held(one, key)
    wire.unlink()
    assert by_network == [] and by_socket == [] and not trace.exists()
    assert on_sqlite.tree() == before
    results = {check["check"]: check for check in drill.checks}
    assert results["boots"]["ok"] and results["answers"]["ok"] and results["secrets"]["ok"], drill.checks
    assert not results["production"]["ok"]
    assert "cannot access '/root'" in results["production"]["message"]


def forget(by_network: list, by_socket: list, trace: Path) -> None:
    for calls in (by_network, by_socket):
        while calls:
            calls.pop().close()
    trace.unlink()


def test_a_postgresql_database(postgresql_server, postgresql_shop, system, destination, key, as_admin):
    source = Source.objects.create(
        system=system, name="database", engine="postgresql", tier="database",
        options=postgresql_server.options(postgresql_shop),
    )  # fmt: skip
    plan = Plan.objects.create(system=system, name="daily", level="intact")
    plan.sources.set([source])
    plan.destinations.set([destination])
    wanted = take.request(plan, requested_by="anna")
    run_job(wanted.job_id)
    one = Set.objects.get(pk=wanted.pk)
    assert one.state == Set.State.COMPLETE, one.message
    query = {
        "source": "database",
        "query": "SELECT current_setting('transaction_read_only')",
        "expected": "on",
    }
    DrillCheck.objects.create(system=system, name="reads only", kind="sql", options=query)
    passed(held(one, key), as_admin)


@pytest.mark.parametrize("phase", ["restoring", "check"])
def test_a_worker_that_is_killed_leaves_no_server_and_no_directory(
    on_mariadb: Shop, key, destination, channel, phase, settings, time_machine
):
    one = protected(on_mariadb)
    laravel(one.system)
    drill = drills.request(one.copies.get(), requested_by="otto", identity=Secret(key.identity))
    state = Path(settings.STATE_DIR)
    assert run_and_die(drill.recovery.job_id, phase, state) == -signal.SIGKILL
    deadline = timezone.now().timestamp() + 10
    while servers_of(state) and timezone.now().timestamp() < deadline:
        pass
    assert servers_of(state) == []
    assert lose(Job.objects.get(pk=drill.recovery.job_id))
    drill.refresh_from_db()
    assert (drill.outcome, drill.recovery.state) == (Drill.Outcome.FAILED, "lost")
    assert drill.evidence and told()[-1][0] == "failure"
    time_machine.shift(leftovers.GRACE + 5)
    leftovers.sweep_all()
    assert not list((state / "scratch").glob("*"))


def servers_of(state: Path) -> list[str]:
    """Command lines of scratch servers and enclosed applications of that state directory."""
    found = []
    for process in process_tree.parents():
        with suppress(OSError):
            line = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            alone = "drcenter-mariadb-" in line and "skip-networking" in line
            if alone or (f"{state}/scratch" in line and "enclosure.py" in line):
                found.append(line)
    return found


def test_a_stored_log_brings_a_drill_on_to_now(scene):
    """Every transaction that was acknowledged after the set is in the drill, and the achieved RPO says so."""
    one = scene.plan.sets.complete().order_by("pk").first()
    query = {
        "source": "db", "query": "SELECT value FROM totals WHERE name = 'transactions'", "comparison": "equal",
        "expected": str(len(scene.writer.acknowledged)),
    }  # fmt: skip
    DrillCheck.objects.create(system=one.system, name="what came later", kind="sql", options=query)
    DrillCheck.objects.create(system=one.system, name="rows", kind="row_counts", options={"source": "db"})
    drill = drills.request(one.copies.get(), requested_by="otto", identity=scene.identity)
    run_job(drill.recovery.job_id)
    drill = Drill.objects.get(pk=drill.pk)
    assert drill.outcome == Drill.Outcome.PASSED, (drill.message, drill.recovery.steps)
    told_of = drill.sources["db"]
    assert told_of["by_log"] and told_of["replay_seconds"] > 0
    assert drill.lost_seconds < (drill.started_at - one.moment).total_seconds()
    assert drill.recovery.differences == []
